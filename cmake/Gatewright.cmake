# Settings shared by all targets, and the two functions that declare them.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(GATEWRIGHT_CCACHE ccache)
if(GATEWRIGHT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GATEWRIGHT_CCACHE})
endif()

add_library(gatewright_options INTERFACE)
target_include_directories(gatewright_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_options(gatewright_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow
                                                    -Wnon-virtual-dtor -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # gcc 12 sees an overlap in "literal" + std::string that cannot happen (gcc bug 105651).
  # It also takes the limbs of Boost's integers for uninitialised wherever it inlines enough of them,
  # always so with the sanitizers; those find the real cases when the tests run.
  target_compile_options(gatewright_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # The stable_sort of gcc 12's library calls what C++17 deprecates; gcc itself does not say so.
  target_compile_options(gatewright_options INTERFACE -Wno-deprecated-declarations)
endif()
if(GATEWRIGHT_SANITIZE)
  target_compile_options(gatewright_options INTERFACE -fsanitize=address,undefined
                                                      -fno-sanitize-recover=all
                                                      -fno-omit-frame-pointer)
  target_link_options(gatewright_options INTERFACE -fsanitize=address,undefined)
  target_compile_definitions(gatewright_options INTERFACE GATEWRIGHT_SANITIZE=1)
endif()

# gatewright_library(NAME [DEPS ...]): a static library from the .cpp files of the calling folder.
function(gatewright_library name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_library(gw_${name} STATIC ${sources})
  target_link_libraries(gw_${name} PUBLIC gatewright_options ${ARG_DEPS})
endfunction()

# gatewright_test(NAME [DEPS ...]): a doctest executable from tests/unit/NAME/*.cpp.
function(gatewright_test name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/unit/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE gw_test_main ${ARG_DEPS})
  # Each program prints its counts, which the closing line of ./test adds up.
  add_test(NAME unit.${name} COMMAND test_${name} --no-intro)
endfunction()
