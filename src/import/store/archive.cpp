#include "import/store/archive.h"
