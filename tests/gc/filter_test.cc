// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/filter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "scale.h"

namespace cairn::gc {
namespace {

constexpr std::uintptr_t k_base = 0x7100'0000'0000, k_guard = 0xdead'beef'dead'beef;
constexpr std::size_t k_limit = std::size_t{3} << 26;

// A word of one of the kinds that matter: inside, just outside, at an edge, or anything.
std::uintptr_t random_word(std::mt19937_64& random) {
  switch (random() % 8) {
    case 0:
      return 0;
    case 1:
      return k_base - 1 - random() % 64;
    case 2:
      return k_base + k_limit + random() % 64;
    case 3:
      return random();
    case 4:
      return k_base + (random() % 2 != 0 ? 0 : k_limit - 1);
    default:
      return k_base + random() % k_limit;
  }
}

std::vector<std::uintptr_t> expected(const std::vector<std::uintptr_t>& words) {
  std::vector<std::uintptr_t> kept;
  for (std::uintptr_t w : words)
    if (w >= k_base && w < k_base + k_limit) kept.push_back(w & ~std::uintptr_t{7});
  return kept;
}

void expect_filters(const named_kernel& kernel, const std::vector<std::uintptr_t>& words) {
  std::vector<std::uintptr_t> out(words.size() + k_filter_slack + 1, k_guard);
  const std::size_t n = kernel.run(words.data(), words.size(), k_base, k_limit, out.data());
  ASSERT_LE(n, words.size()) << kernel.name;
  EXPECT_EQ(out.back(), k_guard) << kernel.name << " wrote beyond its slack";
  EXPECT_EQ(std::vector(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(n)), expected(words))
      << kernel.name << ", " << words.size() << " words";
}

TEST(Filter, EveryKernelKeepsTheWordsThatLieInTheHeapInTheirOrder) {
  for (const named_kernel& kernel : filter_kernels()) {
    std::mt19937_64 random(1);
    for (std::size_t n = 0; n < 70; ++n) {
      for (int repeat = 0; repeat < 50; ++repeat) {
        std::vector<std::uintptr_t> words(n);
        for (auto& w : words) w = random_word(random);
        expect_filters(kernel, words);
      }
    }
  }
}

TEST(Filter, EveryKernelTakesAllOrNothing) {
  for (const named_kernel& kernel : filter_kernels()) {
    expect_filters(kernel, std::vector<std::uintptr_t>(1000, k_base + 64));
    expect_filters(kernel, std::vector<std::uintptr_t>(1000, 0));
    expect_filters(kernel, std::vector<std::uintptr_t>(1000, ~std::uintptr_t{0}));
  }
}

TEST(Filter, AnEmptyHeapHasNoPointers) {
  const std::vector<std::uintptr_t> words(100, k_base);
  for (const named_kernel& kernel : filter_kernels()) {
    std::vector<std::uintptr_t> out(words.size() + k_filter_slack);
    EXPECT_EQ(kernel.run(words.data(), words.size(), k_base, 0, out.data()), 0u) << kernel.name;
  }
}

TEST(Filter, EveryKernelStartsAtAnyWord) {
  std::mt19937_64 random(2);
  std::vector<std::uintptr_t> words(200);
  for (auto& w : words) w = random_word(random);
  for (const named_kernel& kernel : filter_kernels()) {
    for (std::ptrdiff_t from = 0; from < 9; ++from)
      expect_filters(kernel, std::vector(words.begin() + from, words.end()));
  }
}

// Between comparing and keeping a word nobody may change it: what is kept always lies in the heap.
TEST(Filter, AWordThatChangesMeanwhileIsTakenForOneOfItsValues) {
  std::vector<std::uintptr_t> words(64, k_base + 8);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      for (auto& w : words) __atomic_store_n(&w, 0x1234'0000'5678, __ATOMIC_RELAXED);
      for (auto& w : words) __atomic_store_n(&w, k_base + 8, __ATOMIC_RELAXED);
    }
  });
  std::size_t wrong = 0, kept = 0;
  for (const named_kernel& kernel : filter_kernels()) {
    std::vector<std::uintptr_t> out(words.size() + k_filter_slack);
    const auto end = std::chrono::steady_clock::now() + test_seconds(1);
    while (std::chrono::steady_clock::now() < end) {
      const std::size_t n = kernel.run(words.data(), words.size(), k_base, k_limit, out.data());
      kept += n;
      for (std::size_t i = 0; i < n; ++i) wrong += out[i] != k_base + 8;
    }
  }
  stop.store(true);
  writer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(kept, 0u);
}

TEST(Filter, TheScalarKernelIsAlwaysThereAndTheChosenOneIsTheLast) {
  const auto kernels = filter_kernels();
  ASSERT_FALSE(kernels.empty());
  EXPECT_EQ(std::string(kernels.front().name), "scalar");
  choose_filter();
  EXPECT_EQ(filter_words, kernels.back().run);
}

}  // namespace
}  // namespace cairn::gc
