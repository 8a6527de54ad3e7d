// Prints what dlib's loss_metric gives for a few batches, as tests/trainer/oracles/dlib_loss.json holds it.
//
//   apt-get install libdlib-dev                                   (19.24; the class has not changed in 20.0)
//   g++ -O2 -std=c++14 tests/trainer/oracles/dlib_loss.cpp -ldlib -lblas -llapack -o dlib_loss
//   ./dlib_loss > tests/trainer/oracles/dlib_loss.json
#include <dlib/dnn.h>
#include <cstdint>
#include <cstdio>
#include <vector>

// All that the loss asks of the layer below it.
struct Embeddings {
    dlib::resizable_tensor output, gradient;
    const dlib::tensor& get_output() const { return output; }
    dlib::tensor& get_gradient_input() { return gradient; }
    static unsigned int sample_expansion_factor() { return 1; }
};

static std::uint64_t state = 7;
static float uniform() {  // in [-1, 1), with at most 16 bits, so that its decimal form is exact
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<float>(static_cast<std::int32_t>(state >> 48) - 32768) / 32768.0f;
}

static void print(const char* name, const dlib::tensor& rows) {
    std::printf("\"%s\": [", name);
    for (long row = 0; row < rows.num_samples(); ++row) {
        std::printf("%s[", row ? ",\n    " : "");
        for (long k = 0; k < rows.k(); ++k) std::printf("%s%.9g", k ? ", " : "", rows.host()[row * rows.k() + k]);
        std::printf("]");
    }
    std::printf("]");
}

// size: of a random vector's coordinates; own: how far a person's faces lie from the person's own point.
static void batch(const char* name, int people, int crops, float size, float own, bool twins, bool last) {
    const int dimensions = 8, rows = people * crops;
    Embeddings below;
    below.output.set_size(rows, dimensions);
    below.gradient.copy_size(below.output);
    std::vector<unsigned long> labels;
    for (int person = 0; person < people; ++person) {
        float point[dimensions];
        for (float& x : point) x = size * uniform();
        for (int crop = 0; crop < crops; ++crop) {
            for (int k = 0; k < dimensions; ++k)
                below.output.host()[labels.size() * dimensions + k] = point[k] + own * uniform();
            labels.push_back(person);
        }
    }
    if (twins)  // two people with the very same vector: the distance by which dlib must not divide
        for (int k = 0; k < dimensions; ++k) below.output.host()[(rows - 1) * dimensions + k] = below.output.host()[k];
    const dlib::loss_metric_ loss(0.04f, 0.6f);
    const double value = loss.compute_loss_value_and_gradient(below.output, labels.begin(), below);
    std::printf("  \"%s\": {\"loss\": %.9g, \"people\": %d, \"crops\": %d,\n   ", name, value, people, crops);
    print("embeddings", below.output);
    std::printf(",\n   ");
    print("gradient", below.gradient);
    std::printf("}%s\n", last ? "" : ",");
}

int main() {
    std::printf("{\n");
    batch("mixed", 5, 4, 0.25f, 0.25f, false, false);
    batch("many strangers", 8, 2, 0.125f, 0.25f, false, false);
    batch("few strangers", 2, 6, 0.25f, 0.125f, false, false);
    batch("twins", 4, 3, 0.25f, 0.125f, true, false);
    batch("nearly learned", 4, 4, 1.0f, 0.25f, false, true);
    std::printf("}\n");
}
