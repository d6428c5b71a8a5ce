// Energy, forces and virial of a molecule or crystal with an exported model, without Python.
//
//   multifit export model.dp -f torchscript
//   ./energy model.pt structure.txt
//
// The structure has nine numbers for the lattice vectors in Å (all 0: no cell), then a line for
// each atom: its element and its coordinates in Å. The output is in eV and eV/Å.

#include <torch/script.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <regex>
#include <string>
#include <vector>

using Vector = std::array<double, 3>;

// One entry of the description, as text: enough for "rcut" and "type_map".
std::string entry(const std::string& json, const std::string& name) {
  std::smatch found;
  const std::regex pattern("\"" + name + "\":\\s*(\\[[^\\]]*\\]|[^,\\s]+)");
  if (!std::regex_search(json, found, pattern)) throw std::runtime_error("no " + name);
  return found[1];
}

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: energy MODEL STRUCTURE");
  torch::jit::ExtraFilesMap extra{{"multifit.json", ""}};
  auto model = torch::jit::load(argv[1], torch::kCPU, extra);
  const double rcut = std::stod(entry(extra["multifit.json"], "rcut"));
  std::vector<std::string> type_map;
  const std::string names = entry(extra["multifit.json"], "type_map");
  const std::regex quoted("\"([^\"]*)\"");
  for (std::sregex_iterator it(names.begin(), names.end(), quoted), end; it != end; ++it)
    type_map.push_back((*it)[1]);

  std::ifstream file(argv[2]);
  std::array<Vector, 3> cell;
  for (auto& row : cell)
    for (auto& x : row)
      if (!(file >> x)) throw std::runtime_error(std::string("cannot read ") + argv[2]);
  std::vector<Vector> coord;
  std::vector<int64_t> atype;
  std::string name;
  for (Vector r; file >> name >> r[0] >> r[1] >> r[2]; coord.push_back(r)) {
    const auto at = std::find(type_map.begin(), type_map.end(), name);
    if (at == type_map.end()) throw std::runtime_error("the model does not know " + name);
    atype.push_back(at - type_map.begin());
  }

  // Pairs: images out to the cutoff in each direction. A real program has a neighbour list.
  std::array<int, 3> images{0, 0, 0};
  const auto matrix = torch::from_blob(cell.data(), {3, 3}, torch::kDouble);
  if (matrix.abs().max().item<double>() > 0)
    for (int k = 0; k < 3; ++k)
      images[k] = std::ceil(rcut * matrix.inverse().select(1, k).norm().item<double>()) + 1;
  std::vector<double> rij;
  std::vector<int64_t> i, j;
  const int64_t n = coord.size();
  for (int a = -images[0]; a <= images[0]; ++a)
    for (int b = -images[1]; b <= images[1]; ++b)
      for (int c = -images[2]; c <= images[2]; ++c)
        for (int64_t p = 0; p < n; ++p)
          for (int64_t q = 0; q < n; ++q) {
            Vector d;
            for (int x = 0; x < 3; ++x)
              d[x] = coord[q][x] - coord[p][x] + a * cell[0][x] + b * cell[1][x] + c * cell[2][x];
            const double r = std::hypot(d[0], d[1], d[2]);
            if (r >= rcut || r == 0) continue;
            rij.insert(rij.end(), d.begin(), d.end());
            i.push_back(p);
            j.push_back(q);
          }

  const auto integers = [](std::vector<int64_t>& x) {
    return torch::from_blob(x.data(), {int64_t(x.size())}, torch::kLong);
  };
  const auto vectors = torch::from_blob(rij.data(), {int64_t(i.size()), 3}, torch::kDouble);
  torch::NoGradGuard no_grad;
  const auto out = model.forward({vectors, integers(i), integers(j), integers(atype),
                                  torch::arange(n)}).toTuple()->elements();
  std::printf("energy %.12g\nvirial", out[0].toTensor().item<double>());
  const auto virial = out[2].toTensor().contiguous(), force = out[1].toTensor().contiguous();
  for (int k = 0; k < 9; ++k) std::printf(" %.12g", virial.data_ptr<double>()[k]);
  for (int64_t k = 0; k < 3 * n; ++k)
    std::printf(k % 3 ? " %.12g" : "\nforce %.12g", force.data_ptr<double>()[k]);
  std::printf("\n");
} catch (const std::exception& error) {
  std::cerr << "energy: " << error.what() << std::endl;
  return 1;
}
