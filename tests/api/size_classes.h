// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Go's size classes, written down once more: tests compare the library with them and visit their boundaries.
#pragma once
#include <cstddef>

namespace cairn_test {

inline constexpr std::size_t k_go_sizes[] = {
    8,     16,    24,    32,    48,    64,    80,    96,    112,   128,   144,  160,   176,   192,
    208,   224,   240,   256,   288,   320,   352,   384,   416,   448,   480,  512,   576,   640,
    704,   768,   896,   1024,  1152,  1280,  1408,  1536,  1792,  2048,  2304, 2688,  3072,  3200,
    3456,  4096,  4864,  5376,  6144,  6528,  6784,  6912,  8192,  9472,  9728, 10240, 10880, 12288,
    13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768};
static_assert(sizeof k_go_sizes / sizeof k_go_sizes[0] == 67);

// What Go gives for a request of `bytes` without pointers.
constexpr std::size_t go_round_up(std::size_t bytes) {
  for (std::size_t size : k_go_sizes)
    if (bytes <= size) return size;
  return (bytes + 8191) / 8192 * 8192;
}

// The capacity after an append that needs `wanted` elements of `element` bytes without pointers.
constexpr std::size_t go_capacity(std::size_t capacity, std::size_t wanted, std::size_t element) {
  std::size_t fresh = capacity;
  if (wanted > 2 * capacity) {
    fresh = wanted;
  } else if (capacity < 256) {
    fresh = 2 * capacity;
  } else {
    while (fresh < wanted) fresh += (fresh + 3 * 256) / 4;
  }
  return go_round_up(fresh * element) / element;
}

}  // namespace cairn_test
