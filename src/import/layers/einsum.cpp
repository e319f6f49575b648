#include "import/layers/einsum.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "import/layers/sample.h"
#include "operators/move.h"

namespace gatewright::layers {

namespace {

/// One letter an axis: those of the equation as they are, those of "..." as numbers from 256 on,
/// counted from the last.
using Letter = int;
using Letters = std::vector<Letter>;
constexpr Letter first_of_ellipsis = 256;

struct Term {
    Letters letters;
    Operand x;
};

bool has(const Letters& letters, Letter letter) {
    return std::find(letters.begin(), letters.end(), letter) != letters.end();
}

class Einsum {
  public:
    Einsum(Builder& builder, const std::string& equation) : b_(builder) {
        for (const char c : equation) {
            if (c != ' ') {
                equation_ += c;
            }
        }
    }

    Operand run(const std::vector<Operand>& operands) {
        read(operands);
        const int batch_axis = without_batch();
        expand();
        for (std::size_t i = 0; i < terms_.size(); ++i) {
            sum_own_letters(i);
        }
        while (terms_.size() > 1) {
            contract_first_two();
        }
        Operand y = ordered(terms_.front(), result_);
        y.batch_axis = y.is_constant ? -1 : batch_axis;
        return y;
    }

  private:
    [[noreturn]] void refuse(const std::string& message) {
        b_.refuse(fmt::format("{}: '{}'", message, equation_), {}, "equation");
    }

    /// The letters of one term of an operand of `rank` (-1: of the result).
    Letters letters_of(std::string_view text, std::int64_t rank) {
        Letters out;
        bool dots = false;
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text.substr(i, 3) == "...") {
                if (dots) {
                    refuse("a term has two ellipses");
                }
                dots = true;
                const std::int64_t named = static_cast<std::int64_t>(text.size()) - 3;
                const std::int64_t count = rank < 0 ? ellipsis_ : rank - named;
                if (count < 0) {
                    refuse("a term has more letters than its operand has axes");
                }
                ellipsis_ = std::max(ellipsis_, count);
                for (std::int64_t k = count; k > 0; --k) {
                    out.push_back(first_of_ellipsis + static_cast<Letter>(k));
                }
                i += 2;
            } else if ((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z')) {
                out.push_back(text[i]);
            } else {
                refuse("the equation is malformed");
            }
        }
        if (rank >= 0 && static_cast<std::int64_t>(out.size()) != rank) {
            refuse("a term has another number of letters than its operand has axes");
        }
        return out;
    }

    void read(const std::vector<Operand>& operands) {
        const std::size_t arrow = equation_.find("->");
        std::string_view left = std::string_view(equation_).substr(0, arrow);
        std::vector<std::string_view> texts;
        for (std::size_t comma = left.find(','); comma != std::string_view::npos;
             comma = left.find(',')) {
            texts.push_back(left.substr(0, comma));
            left.remove_prefix(comma + 1);
        }
        texts.push_back(left);
        if (texts.size() != operands.size()) {
            refuse(fmt::format("it has {} operands for the equation", operands.size()));
        }
        std::map<Letter, int> uses;
        for (std::size_t i = 0; i < operands.size(); ++i) {
            terms_.push_back({letters_of(texts[i], operands[i].rank()), operands[i]});
            for (const Letter letter : terms_.back().letters) {
                ++uses[letter];
            }
        }
        if (arrow != std::string::npos) {
            result_ = letters_of(std::string_view(equation_).substr(arrow + 2), -1);
        } else {
            for (std::int64_t k = ellipsis_; k > 0; --k) {
                result_.push_back(first_of_ellipsis + static_cast<Letter>(k));
            }
            for (const auto& [letter, count] : uses) {
                if (count == 1 && letter < first_of_ellipsis) {
                    result_.push_back(letter);
                }
            }
        }
        for (std::size_t i = 0; i < result_.size(); ++i) {
            const bool twice = std::count(result_.begin(), result_.end(), result_[i]) != 1;
            if (twice || (!uses.contains(result_[i]) && result_[i] < first_of_ellipsis)) {
                refuse("a letter of the result is there twice or in no operand");
            }
        }
    }

    /// Takes the batch's letter out of all terms; gives its place in the result.
    int without_batch() {
        Letter batch = 0;
        for (const Term& term : terms_) {
            if (term.x.batch_axis >= 0) {
                const Letter letter = term.letters[static_cast<std::size_t>(term.x.batch_axis)];
                if (batch != 0 && letter != batch) {
                    throw BatchMixed();
                }
                batch = letter;
            }
        }
        if (batch == 0) {
            return -1;
        }
        for (Term& term : terms_) {
            const auto at = std::find(term.letters.begin(), term.letters.end(), batch);
            if (at == term.letters.end()) {
                continue;
            }
            if (std::count(term.letters.begin(), term.letters.end(), batch) != 1) {
                throw BatchMixed();
            }
            const auto position = at - term.letters.begin();
            if (term.x.batch_axis < 0) {
                Shape shape = term.x.sample_shape();
                if (shape[static_cast<std::size_t>(position)] != 1) {
                    throw BatchMixed();
                }
                shape.erase(shape.begin() + position);
                term.x = b_.reshaped(term.x, std::move(shape), -1);
            } else {
                term.x = in_front(term.x);
            }
            term.letters.erase(at);
        }
        const auto at = std::find(result_.begin(), result_.end(), batch);
        if (at == result_.end()) {
            throw BatchMixed();
        }
        const int position = static_cast<int>(at - result_.begin());
        result_.erase(at);
        return position;
    }

    /// Diagonals are taken, and extents of 1 grow to those of the other operands.
    void expand() {
        for (Term& term : terms_) {
            for (std::size_t i = 0; i < term.letters.size(); ++i) {
                std::int64_t& extent = extents_.try_emplace(term.letters[i], 1).first->second;
                const std::int64_t own = term.x.sample_shape()[i];
                if (extent != 1 && own != 1 && own != extent) {
                    refuse(fmt::format("one letter has the extents {} and {}", extent, own));
                }
                extent = own == 1 ? extent : own;
            }
        }
        for (Term& term : terms_) {
            Shape full;
            for (const Letter letter : term.letters) {
                full.push_back(extents_[letter]);
            }
            if (!checked_element_count(full)) {
                refuse("an operand has too many elements");
            }
            term.x = b_.expanded(term.x, std::move(full));
            take_diagonals(term);
        }
    }

    void take_diagonals(Term& term) {
        Letters distinct;
        for (const Letter letter : term.letters) {
            if (!has(distinct, letter)) {
                distinct.push_back(letter);
            }
        }
        if (distinct.size() == term.letters.size()) {
            return;
        }
        const auto strides = strides_of(term.x.sample_shape());
        Shape shape;
        for (const Letter letter : distinct) {
            shape.push_back(extents_[letter]);
        }
        const auto steps = strides_of(shape);
        operators::IndexFields fields;
        fields.shape = shape;
        const std::int64_t count = element_count(shape);
        for (std::int64_t e = 0; e < count; ++e) {
            std::int64_t from = 0;
            for (std::size_t i = 0; i < term.letters.size(); ++i) {
                const auto k = static_cast<std::size_t>(
                    std::find(distinct.begin(), distinct.end(), term.letters[i]) -
                    distinct.begin());
                from += e / steps[k] % shape[k] * strides[i];
            }
            fields.index.values.push_back(from);
        }
        fields.index.shape = {count};
        term.x = b_.emit(operators::index_operator, Attributes::of(std::move(fields)), {term.x},
                         term.x.batch_axis)
                     .front();
        term.letters = distinct;
    }

    bool needed_elsewhere(Letter letter, std::size_t a, std::size_t b) const {
        if (has(result_, letter)) {
            return true;
        }
        for (std::size_t i = 0; i < terms_.size(); ++i) {
            if (i != a && i != b && has(terms_[i].letters, letter)) {
                return true;
            }
        }
        return false;
    }

    /// Sums over letters that are in this term alone.
    void sum_own_letters(std::size_t i) {
        Term& term = terms_[i];
        Shape axes;
        Letters kept;
        for (std::size_t k = 0; k < term.letters.size(); ++k) {
            if (needed_elsewhere(term.letters[k], i, i)) {
                kept.push_back(term.letters[k]);
            } else {
                axes.push_back(static_cast<std::int64_t>(k));
            }
        }
        term.x = b_.reduced(term.x, "sum", axes, false);
        term.letters = kept;
    }

    Operand ordered(const Term& term, const Letters& letters) {
        Shape permutation;
        for (const Letter letter : letters) {
            const auto at = std::find(term.letters.begin(), term.letters.end(), letter);
            if (at == term.letters.end()) {
                refuse("a letter of the result is in no operand");
            }
            permutation.push_back(at - term.letters.begin());
        }
        return b_.transposed(term.x, permutation, term.x.batch_axis);
    }

    std::int64_t product(const Letters& letters) {
        std::int64_t out = 1;
        for (const Letter letter : letters) {
            out *= extents_[letter];
        }
        return out;
    }

    Shape shape_of(const Letters& letters) {
        Shape out;
        for (const Letter letter : letters) {
            out.push_back(extents_[letter]);
        }
        return out;
    }

    /// a and b become their product, summed over the letters that nothing else needs.
    void contract_first_two() {
        Term a = terms_[0];
        Term b = terms_[1];
        if (a.x.is_constant && !b.x.is_constant) {
            std::swap(a, b);  // weights stand second, where a circuit has them as constants
        }
        Letters shared;
        Letters summed;
        Letters own_a;
        Letters own_b;
        for (const Letter letter : a.letters) {
            if (!has(b.letters, letter)) {
                own_a.push_back(letter);
            } else {
                (needed_elsewhere(letter, 0, 1) ? shared : summed).push_back(letter);
            }
        }
        for (const Letter letter : b.letters) {
            if (!has(a.letters, letter)) {
                own_b.push_back(letter);
            }
        }
        Letters left = shared;
        left.insert(left.end(), own_a.begin(), own_a.end());
        left.insert(left.end(), summed.begin(), summed.end());
        Letters right = shared;
        right.insert(right.end(), summed.begin(), summed.end());
        right.insert(right.end(), own_b.begin(), own_b.end());
        Letters both = shared;
        both.insert(both.end(), own_a.begin(), own_a.end());
        both.insert(both.end(), own_b.begin(), own_b.end());
        if (!checked_element_count(shape_of(both))) {
            refuse("a product has too many elements");
        }
        Operand x = ordered(a, left);
        Operand y = ordered(b, right);
        Shape x_shape = shape_of(shared);
        Shape y_shape = x_shape;
        x_shape.push_back(product(own_a));
        x_shape.push_back(product(summed));
        y_shape.push_back(product(summed));
        y_shape.push_back(product(own_b));
        x = b_.reshaped(x, x_shape, x.batch_axis);
        y = b_.reshaped(y, y_shape, y.batch_axis);
        const Operand z = summed.empty() ? multiplied(x, y) : b_.matmul(x, y);
        Term joined{both, b_.reshaped(z, shape_of(both), z.batch_axis)};
        terms_.erase(terms_.begin());
        terms_.front() = std::move(joined);
    }

    /// The same for matrices of one column and of one row: products alone.
    Operand multiplied(const Operand& x, const Operand& y) {
        const std::size_t rank = x.sample_shape().size();
        return b_.multiply(of_rank(b_, x, rank), of_rank(b_, y, rank));
    }

    Builder& b_;
    std::string equation_;
    std::vector<Term> terms_;
    Letters result_;
    std::int64_t ellipsis_ = 0;
    std::map<Letter, std::int64_t> extents_;
};

}  // namespace

Operand einsum(Builder& builder, const std::string& equation,
               const std::vector<Operand>& operands) {
    return Einsum(builder, equation).run(operands);
}

Operand tensordot(Builder& builder, const Operand& a, const Operand& b, const Shape& of_a,
                  const Shape& of_b) {
    if (of_a.size() != of_b.size()) {
        builder.refuse("its two lists of axes differ in length");
    }
    if (a.rank() + b.rank() > 26) {
        builder.refuse("its tensors have too many axes");
    }
    std::string letters_a(static_cast<std::size_t>(a.rank()), ' ');
    std::string letters_b(static_cast<std::size_t>(b.rank()), ' ');
    std::string result;
    char next = 'a';
    for (std::size_t i = 0; i < of_a.size(); ++i) {
        char& in_a = letters_a[static_cast<std::size_t>(builder.normalised(of_a[i], a.rank()))];
        char& in_b = letters_b[static_cast<std::size_t>(builder.normalised(of_b[i], b.rank()))];
        if (in_a != ' ' || in_b != ' ') {
            builder.refuse("it names an axis twice");
        }
        in_a = in_b = next++;
    }
    for (std::string* letters : {&letters_a, &letters_b}) {
        for (char& letter : *letters) {
            if (letter == ' ') {
                letter = next++;
                result += letter;
            }
        }
    }
    return einsum(builder, fmt::format("{},{}->{}", letters_a, letters_b, result), {a, b});
}

}  // namespace gatewright::layers
