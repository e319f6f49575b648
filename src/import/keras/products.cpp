#include "import/keras/products.h"

namespace gatewright::keras {

Operand dense_product(Call& call, const Operand& x, const Operand& kernel,
                      const std::optional<Operand>& bias) {
    const Operand y = call.matmul(x, kernel);
    return bias ? call.add(y, *bias) : y;
}

}  // namespace gatewright::keras
