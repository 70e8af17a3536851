// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// That every kernel finds, leaves out and pushes what the definition says, on the spans of a heap with objects of all
// kinds, at addresses of all kinds.
#include "gc/batch.h"

#include <cairn/cairn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "heap/mspan.h"
#include "scale.h"

namespace cairn::gc {
namespace {

using object = std::tuple<std::uintptr_t, std::size_t, unsigned, unsigned>;  // address, first page, index, span class

// Objects of every class with and without pointers, large ones, and holes between them, in two arenas. (Where
// an object's bits lie depends on its arena.)
class Batch : public ::testing::Test {
 protected:
  void SetUp() override {
    percent_ = set_percent(-1);
    make_objects();
    made_.emplace_back(
        make_gc_bytes(heap::k_arena_bytes).data());  // fills the rest of the arena, begins the next
    made_.emplace_back(make_gc_bytes(heap::k_arena_bytes / 2).data());
    make_objects();
    // But pages that are free in the first arena since earlier tests come before those of the next: until they are used
    // up.
    for (std::size_t n = 0; arenas_of_small_objects() < 2; ++n) {
      ASSERT_LT(n, 2 * heap::g_space.committed.load() / k_filler_bytes + 100);
      for (std::size_t bytes = 0; bytes < heap::k_arena_bytes / 8; bytes += k_filler_bytes)
        made_.emplace_back(make_gc_bytes(k_filler_bytes).data());
      make_objects();
    }
  }
  void TearDown() override { set_percent(percent_); }

  std::size_t arenas_of_small_objects() {
    std::set<std::size_t> arenas;
    for (const root<std::byte>& r : made_) {
      heap::object_ref o;
      EXPECT_TRUE(heap::find_object(reinterpret_cast<std::uintptr_t>(r.get()), o));
      if (heap::g_space.span_at(o.first)->elem_bytes <= 1024) arenas.insert(o.first / heap::k_arena_pages);
    }
    return arenas.size();
  }
  void make_objects() {
    for (int i = 0; i < 60; ++i)
      for (std::size_t bytes = 8; bytes <= 40'000; bytes += bytes / 6 + 8)
        if (i % 7 == 0 || bytes < 600) made_.emplace_back(make_gc_bytes(bytes).data());
    for (std::size_t bytes : {std::size_t{100'000}, std::size_t{3'000'000}})
      made_.emplace_back(make_gc_bytes(bytes).data());
  }

  // Anywhere in the heap, or at, in or just behind one of the objects.
  std::uintptr_t random_address() {
    const heap::space& s = heap::g_space;
    if (random_() % 8 == 0) return (s.base + random_() % s.committed.load()) & ~std::uintptr_t{7};
    const auto at = reinterpret_cast<std::uintptr_t>(made_[random_() % made_.size()].get());
    heap::object_ref o;
    EXPECT_TRUE(heap::find_object(at, o));
    const std::size_t bytes = s.span_at(o.first)->elem_bytes;
    return random_() % 2 == 0 ? at : at + (random_() % (bytes + 64) & ~std::size_t{7});
  }

  static constexpr std::size_t k_filler_bytes = heap::k_arena_bytes / 32;

  std::mt19937_64 random_{20'231};
  std::vector<root<std::byte>> made_;
  int percent_ = 100;
};

object at(const found_batch& b, unsigned i) {
  return {b.address[i], b.first(i), b.index(i), b.span_class(i)};
}

TEST_F(Batch, EveryKernelFindsTheObjectsOfItsCandidatesFromTheTop) {
  for (const batch_kernels& kernel : all_batch_kernels()) {
    for (std::size_t repeat = 0; repeat < test_count(20'000, 100); ++repeat) {
      std::vector<std::uintptr_t> entries(random_() % 48);
      for (auto& e : entries) e = random_address();
      std::vector<object> expected;
      found_batch one;
      for (auto e = entries.rbegin(); e != entries.rend(); ++e)
        if (find_one(*e, one, 0)) expected.push_back(at(one, 0));

      found_batch found;
      const std::uintptr_t* top = entries.data() + entries.size();
      const auto before = static_cast<unsigned>(random_() % 8);
      const unsigned n = kernel.find(entries.data(), top, found, before);
      ASSERT_LE(n, k_batch);
      ASSERT_TRUE(n == k_batch || top == entries.data()) << kernel.name << " stopped without a reason";
      expected.resize(std::min<std::size_t>(expected.size(), k_batch - before));
      std::vector<object> got;
      for (unsigned i = before; i < n; ++i) {
        got.push_back(at(found, i));
        ASSERT_EQ(found.bits[i], &heap::g_space.group_of(found.first(i), found.index(i))) << kernel.name;
      }
      ASSERT_EQ(got, expected) << kernel.name << ", " << entries.size() << " candidates";
    }
  }
}

TEST_F(Batch, NoKernelTakesAnEntryThatHasATag) {
  for (const batch_kernels& kernel : all_batch_kernels()) {
    for (std::size_t size = 1; size < 40; ++size) {
      for (std::size_t tagged = 0; tagged < size; ++tagged) {
        std::vector<std::uintptr_t> entries(size, reinterpret_cast<std::uintptr_t>(made_[0].get()));
        entries[tagged] |= tagged % 2 == 0 ? k_oblet_tag : k_stack_tag;
        found_batch found;
        const std::uintptr_t* top = entries.data() + size;
        const unsigned n = kernel.find(entries.data(), top, found, 0);
        ASSERT_GT(top, entries.data() + tagged - (size - tagged > k_batch ? 1 : 0)) << kernel.name;
        ASSERT_EQ(n, entries.data() + size - top) << kernel.name;
      }
    }
  }
}

TEST_F(Batch, EveryKernelKeepsWhatIsAllocatedAndNotMarkedInItsOrder) {
  for (const batch_kernels& kernel : all_batch_kernels()) {
    for (std::size_t repeat = 0; repeat < test_count(20'000, 100); ++repeat) {
      std::vector<heap::bit_group> groups(8);
      for (auto& g : groups) {
        g.mark = random_() & random_();
        g.mark_shared = random_() & random_();
        g.alloc = random_() | random_();
        g.armed = random_();
      }
      const auto n = static_cast<unsigned>(random_() % (k_batch + 1));
      found_batch batch;
      std::vector<object> all, fresh;
      for (unsigned i = 0; i < n; ++i) {
        heap::bit_group& g = groups[random_() % groups.size()];
        const unsigned index = static_cast<unsigned>(random_() % 1024);
        batch.address[i] = random_();
        batch.bits[i] = &g;
        batch.where[i] = random_() % 0xffff'ffff | std::uint64_t{index} << 32 | random_() % 134 << 48;
        all.push_back(at(batch, i));
        if ((g.alloc & ~g.marked() & heap::bit_of(index)) != 0) fresh.push_back(all.back());
      }
      const unsigned kept = kernel.unmarked(batch, n);
      std::vector<object> got;
      for (unsigned i = 0; i < kept; ++i) got.push_back(at(batch, i));
      ASSERT_EQ(got, std::string(kernel.name) == "scalar" ? all : fresh)
          << kernel.name << ", " << n << " objects";
    }
  }
}

TEST_F(Batch, EveryKernelPushesTheNamedWordsThatLieInTheHeap) {
  for (const batch_kernels& kernel : all_batch_kernels()) {
    for (std::size_t repeat = 0; repeat < test_count(2'000, 100); ++repeat) {
      std::vector<std::uint64_t> memory(k_batch * 72);
      for (auto& word : memory) word = random_() % 3 == 0 ? random_() : random_address() + random_() % 8;
      std::vector<grey> objects(random_() % (k_batch + 1));
      std::vector<std::uintptr_t> expected;
      for (std::size_t i = 0; i < objects.size(); ++i) {
        const std::size_t from = i * 72 + random_() % 9;
        const std::uint64_t words = ~std::uint64_t{0} >> random_() % 64;
        objects[i] = {reinterpret_cast<std::uintptr_t>(&memory[from]), random_() & words};
        for (unsigned w = 0; w < 64; ++w)
          if ((objects[i].mask >> w & 1) != 0 && heap::g_space.contains(memory[from + w]))
            expected.push_back(memory[from + w] & ~std::uintptr_t{7});
      }
      std::vector<std::uintptr_t> out(expected.size() + k_lanes + 1, 0xdead);
      const auto n = static_cast<unsigned>(objects.size());
      const std::uintptr_t* top = kernel.scan(objects.data(), n, out.data());
      ASSERT_EQ(top - out.data(), static_cast<std::ptrdiff_t>(expected.size())) << kernel.name;
      EXPECT_EQ(out.back(), 0xdead) << kernel.name << " wrote beyond its slack";
      out.resize(expected.size());
      ASSERT_EQ(out, expected) << kernel.name << ", " << n << " objects";
    }
  }
}

TEST_F(Batch, TheBestKernelsAreChosen) {
  EXPECT_STREQ(batching.name, all_batch_kernels().back().name);
  EXPECT_STREQ(all_batch_kernels().front().name, "scalar");
}

}  // namespace
}  // namespace cairn::gc
