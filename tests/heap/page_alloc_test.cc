// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/page_alloc.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <vector>

#include "heap/bits.h"
#include "heap/metadata.h"
#include "tests/heap/fake_os.h"
#include "tests/scale.h"

namespace cairn::heap {
namespace {

constexpr std::size_t k_chunk = page_alloc::k_chunk_pages;
constexpr std::size_t k_arena = k_arena_bytes / 8192;

class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  std::uint64_t next() {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return state_;
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() >> 11) % n; }

 private:
  std::uint64_t state_;
};

// CAIRN_TEST_SEED repeats one run.
std::vector<std::uint64_t> seeds() {
  if (const char* one = std::getenv("CAIRN_TEST_SEED")) return {std::strtoull(one, nullptr, 0)};
  return {1, 2, 3};
}

// What the page allocator has to do, done simply.
class model {
 public:
  void grow(std::size_t first, std::size_t count) {
    used_.resize(first, true);
    scavenged_.resize(first, false);
    used_.resize(first + count, false);
    scavenged_.resize(first + count, true);
    grown_ += count;
  }
  bool fits(std::size_t page, std::size_t n) const {
    if (page + n > used_.size()) return false;
    for (std::size_t i = 0; i < n; ++i) {
      if (used_[page + i]) return false;
    }
    return true;
  }
  page_run alloc(std::size_t n, std::size_t align) {
    for (std::size_t page = 0; page + n <= used_.size(); page += align) {
      if (fits(page, n)) return take(page, n);
    }
    return {};
  }
  page_run take(std::size_t page, std::size_t n) {
    page_run r{page, 0};
    for (std::size_t i = page; i < page + n; ++i) {
      EXPECT_FALSE(used_[i]);
      used_[i] = true;
      r.scavenged_pages += scavenged_[i] ? 1 : 0;
      scavenged_[i] = false;
    }
    return r;
  }
  page_cache alloc_cache() {
    const auto i = std::find(used_.begin(), used_.end(), 0);
    if (i == used_.end()) return {};
    page_cache c{static_cast<std::size_t>(i - used_.begin()) / 64 * 64, 0, 0};
    for (std::size_t b = 0; b < 64; ++b) {
      if (used_[c.base + b]) continue;
      c.free |= std::uint64_t{1} << b;
      if (scavenged_[c.base + b]) c.scavenged |= std::uint64_t{1} << b;
      take(c.base + b, 1);
    }
    return c;
  }
  void free(std::size_t page, std::size_t n, bool scavenged) {
    for (std::size_t i = page; i < page + n; ++i) {
      EXPECT_TRUE(used_[i]);
      used_[i] = false;
      scavenged_[i] = scavenged;
    }
  }
  std::size_t pages_free() const {
    return static_cast<std::size_t>(std::count(used_.begin(), used_.end(), 0));
  }
  std::size_t pages_scavenged() const {
    return static_cast<std::size_t>(std::count(scavenged_.begin(), scavenged_.end(), 1));
  }
  std::size_t grown() const { return grown_; }
  std::size_t end() const { return used_.size(); }
  bool is_used(std::size_t page) const { return used_[page] != 0; }
  bool is_scavenged(std::size_t page) const { return scavenged_[page] != 0; }

 private:
  std::vector<unsigned char> used_, scavenged_;
  std::size_t grown_ = 0;
};

class PageAlloc : public testing::Test {
 protected:
  void SetUp() override { metadata_before_ = metadata_bytes(); }
  void TearDown() override {
    EXPECT_STREQ(pages.broken_invariant(), nullptr);
    pages.destroy();
    EXPECT_EQ(fake.reserved_bytes(), 0u);
    EXPECT_EQ(metadata_bytes(), metadata_before_);
  }
  void start(std::size_t reserved_pages, std::size_t grown_pages) {
    ASSERT_TRUE(pages.init(reserved_pages));
    ASSERT_TRUE(pages.grow(0, grown_pages));
  }
  void expect_like(const model& m) {
    EXPECT_EQ(pages.pages_grown(), m.grown());
    EXPECT_EQ(pages.pages_free(), m.pages_free());
    EXPECT_EQ(pages.pages_in_use(), m.grown() - m.pages_free());
    EXPECT_EQ(pages.pages_scavenged(), m.pages_scavenged());
    ASSERT_EQ(pages.end_page(), m.end());
    for (std::size_t i = 0; i < m.end(); ++i) {
      ASSERT_EQ(pages.is_in_use(i), m.is_used(i)) << i;
      if (!m.is_used(i)) {
        ASSERT_EQ(pages.is_scavenged(i), m.is_scavenged(i)) << i;
      }
    }
    EXPECT_STREQ(pages.broken_invariant(), nullptr);
  }

  fake_os fake;
  page_alloc pages;

 private:
  std::size_t metadata_before_ = 0;
};

TEST(Bits, RunsOfOnesAreFoundAsByLooking) {
  random_source random(7);
  for (int round = 0; round < 20000; ++round) {
    std::uint64_t x = random.next();
    if (round % 3 == 0) x |= random.next() | random.next();
    if (round % 7 == 0) x = ~std::uint64_t{0} << (round % 64);
    const unsigned n = static_cast<unsigned>(random.below(64)) + 1;
    unsigned expected = 64;
    for (unsigned i = 0; i + n <= 64 && expected == 64; ++i) {
      if ((x >> i & ones(n)) == ones(n)) expected = i;
    }
    ASSERT_EQ(find_ones(x, n), expected) << std::hex << x << " " << n;
  }
  EXPECT_EQ(find_ones(~std::uint64_t{0}, 64), 0u);
  EXPECT_EQ(find_ones(0, 1), 64u);
}

TEST(Bits, RunsCrossWords) {
  // Bits 60 .. 199 are ones.
  const std::uint64_t words[] = {~std::uint64_t{0} << 60, ~std::uint64_t{0}, ~std::uint64_t{0}, 0xff};
  EXPECT_EQ(ones_before(words, 200), 140u);
  EXPECT_EQ(ones_before(words, 128), 68u);
  EXPECT_EQ(ones_before(words, 201), 0u);
  EXPECT_EQ(ones_before(words, 60), 0u);
  EXPECT_EQ(zeros_before(words, 60), 60u);
  EXPECT_EQ(zeros_before(words, 0), 0u);
  EXPECT_EQ(zeros_before(words, 256), 56u);
  EXPECT_EQ(zeros_from(words, 200, 256), 56u);
  EXPECT_EQ(zeros_from(words, 256, 256), 0u);
  EXPECT_EQ(zeros_from(words, 3, 256), 57u);
  EXPECT_EQ(zeros_from(words, 100, 256), 0u);
  EXPECT_EQ(highest_bit(words, 256), 199u);
  EXPECT_EQ(highest_bit(words, 150), 149u);
  EXPECT_EQ(highest_bit(words, 60), k_no_bit);
  EXPECT_EQ(highest_bit(words, 0), k_no_bit);
}

TEST(Bits, GroupsAreAlignedBits) {
  EXPECT_EQ(full_groups(0xff0f'7fff, 4), 0xff0f'0fffu);
  EXPECT_EQ(full_groups(0xff0f'7fff, 8), 0xff00'00ffu);
  EXPECT_EQ(touched_groups(0x0100'0010, 8), 0xff00'00ffu);
  for (std::uint64_t x : {std::uint64_t{0}, std::uint64_t{5}, ~std::uint64_t{0}}) {
    EXPECT_EQ(full_groups(x, 1), x);
    EXPECT_EQ(touched_groups(x, 1), x);
  }
  EXPECT_EQ(full_groups(~std::uint64_t{0}, 64), ~std::uint64_t{0});
  EXPECT_EQ(full_groups(~std::uint64_t{1}, 64), 0u);
  EXPECT_EQ(touched_groups(1, 64), ~std::uint64_t{0});
}

TEST_F(PageAlloc, FreshPagesAreFreeAndScavenged) {
  start(k_arena, k_arena);
  EXPECT_EQ(pages.pages_free(), k_arena);
  EXPECT_EQ(pages.pages_scavenged(), k_arena);
  const page_run r = pages.alloc(10);
  EXPECT_EQ(r.page, 0u);
  EXPECT_EQ(r.scavenged_pages, 10u);
  pages.free(0, 10);
  EXPECT_EQ(pages.pages_scavenged(), k_arena - 10);
  const page_run again = pages.alloc(12);
  EXPECT_EQ(again.page, 0u);
  EXPECT_EQ(again.scavenged_pages, 2u);
  pages.free_scavenged(0, 12);
  EXPECT_EQ(pages.pages_scavenged(), k_arena);
}

TEST_F(PageAlloc, TheWholeHeapIsOneRun) {
  start(k_arena, k_arena);
  EXPECT_FALSE(pages.alloc(k_arena + 1));
  const page_run all = pages.alloc(k_arena);
  EXPECT_EQ(all.page, 0u);
  EXPECT_EQ(pages.pages_in_use(), k_arena);
  EXPECT_FALSE(pages.alloc(1));
  EXPECT_TRUE(pages.alloc_cache().empty());
  pages.free(0, k_arena);
  EXPECT_EQ(pages.alloc(k_arena).page, 0u);
}

// Every pattern of twelve free pages that straddle a boundary, every length and some alignments.
TEST_F(PageAlloc, EveryPatternOfTwelvePagesIsSearchedRight) {
  constexpr std::size_t k_window = 12;
  // Below a scale of one not every pattern; an odd step, so that each bit changes.
  const std::uint32_t step = static_cast<std::uint32_t>(1 / std::min(test_scale(), 1.0)) | 1;
  start(2 * k_arena, 2 * k_arena);
  ASSERT_EQ(pages.alloc(2 * k_arena).page, 0u);
  for (const std::size_t first : {std::size_t{58}, k_chunk - 5, 8 * k_chunk - 7, 2 * k_arena - k_window}) {
    for (std::uint32_t pattern = 0; pattern < 1u << k_window; pattern += step) {
      for (std::size_t i = 0; i < k_window; ++i) {
        if (pattern >> i & 1) pages.free(first + i, 1);
      }
      for (std::size_t n = 1; n <= k_window; ++n) {
        for (std::size_t align = 1; align <= 4; align *= 2) {
          std::size_t expected = k_no_page;
          for (std::size_t i = 0; i + n <= k_window && expected == k_no_page; ++i) {
            const std::uint32_t mask = ((1u << n) - 1) << i;
            if ((pattern & mask) == mask && (first + i) % align == 0) expected = first + i;
          }
          const page_run r = pages.alloc(n, align);
          ASSERT_EQ(r.page, expected) << first << " " << pattern << " " << n << " " << align;
          if (r) pages.free(r.page, n);
        }
      }
      for (std::size_t i = 0; i < k_window; ++i) {
        if (pattern >> i & 1) {
          ASSERT_TRUE(pages.alloc(1));
        }
      }
    }
    ASSERT_STREQ(pages.broken_invariant(), nullptr);
  }
}

TEST_F(PageAlloc, AlignedRunsSkipWhatIsInTheWay) {
  start(k_arena, k_arena);
  ASSERT_TRUE(pages.alloc(1));
  EXPECT_EQ(pages.alloc(3, 256).page, 256u);
  EXPECT_EQ(pages.alloc(512, 512).page, 512u);
  EXPECT_EQ(pages.alloc(253, 1).page, 1u);
  EXPECT_EQ(pages.alloc(1024, 1024).page, 1024u);
  EXPECT_EQ(pages.alloc(1, 8192).page, k_no_page);
}

TEST_F(PageAlloc, GapsBetweenGrownPartsAreNeverHandedOut) {
  ASSERT_TRUE(pages.init(64 * k_arena));
  model m;
  for (const std::size_t first : {std::size_t{3}, std::size_t{4}, std::size_t{9}, std::size_t{63}}) {
    ASSERT_TRUE(pages.grow(first * k_arena, k_arena));
    m.grow(first * k_arena, k_arena);
    expect_like(m);
  }
  for (const std::size_t n : {2 * k_arena, k_arena, k_arena, k_arena, std::size_t{1}}) {
    const page_run expected = m.alloc(n, 1), r = pages.alloc(n);
    EXPECT_EQ(r.page, expected.page);
    EXPECT_EQ(r.scavenged_pages, expected.scavenged_pages);
  }
  expect_like(m);
}

TEST_F(PageAlloc, ATebibyteHasPageNumbers) {
  ASSERT_TRUE(pages.init(page_alloc::k_max_pages));
  ASSERT_TRUE(pages.grow(0, k_arena));
  EXPECT_LT(pages.committed_bytes(), std::size_t{2} << 20);
  ASSERT_TRUE(pages.grow(page_alloc::k_max_pages - k_arena, k_arena));
  ASSERT_EQ(pages.alloc(k_arena).page, 0u);
  const page_run r = pages.alloc(k_arena - 1);
  EXPECT_EQ(r.page, page_alloc::k_max_pages - k_arena);
  EXPECT_EQ(pages.alloc(1).page, page_alloc::k_max_pages - 1);
  EXPECT_FALSE(pages.alloc(1));
  EXPECT_STREQ(pages.broken_invariant(), nullptr);
}

TEST_F(PageAlloc, OneRunMayBeATebibyte) {
  ASSERT_TRUE(pages.init(page_alloc::k_max_pages));
  ASSERT_TRUE(pages.grow(0, page_alloc::k_max_pages));
  EXPECT_EQ(pages.alloc(page_alloc::k_max_pages).page, 0u);
  EXPECT_FALSE(pages.alloc(1));
  pages.free(12345678, 5);
  EXPECT_EQ(pages.alloc(5).page, 12345678u);
  pages.free(0, page_alloc::k_max_pages);
  EXPECT_EQ(pages.pages_free(), page_alloc::k_max_pages);
}

struct held_run {
  std::size_t page, n;
};

// One random operation on both; `held` is what is allocated, `caches` what lies in caches.
void random_operation(random_source& random, page_alloc& pages, model& m, std::vector<held_run>& held,
                      std::vector<page_cache>& caches) {
  const std::size_t what = random.below(100);
  if (what < 50) {
    std::size_t n = random.below(4) != 0 ? random.below(10) + 1 : random.below(900) + 1;
    if (random.below(50) == 0) n = random.below(4000) + 1;
    const std::size_t align = random.below(4) == 0 ? std::size_t{1} << random.below(10) : 1;
    const page_run expected = m.alloc(n, align), r = pages.alloc(n, align);
    ASSERT_EQ(r.page, expected.page) << n << " aligned " << align;
    ASSERT_EQ(r.scavenged_pages, expected.scavenged_pages);
    if (r) held.push_back({r.page, n});
  } else if (what < 90 && !held.empty()) {
    std::swap(held[random.below(held.size())], held.back());
    held_run& h = held.back();
    // Sometimes a part of it.
    const std::size_t n = random.below(8) == 0 ? random.below(h.n) + 1 : h.n;
    const bool scavenged = random.below(5) == 0;
    m.free(h.page, n, scavenged);
    scavenged ? pages.free_scavenged(h.page, n) : pages.free(h.page, n);
    h.page += n;
    h.n -= n;
    if (h.n == 0) held.pop_back();
  } else if (what < 95) {
    const page_cache expected = m.alloc_cache(), c = pages.alloc_cache();
    ASSERT_EQ(c.free, expected.free);
    ASSERT_EQ(c.scavenged, expected.scavenged);
    if (!c.empty()) {
      ASSERT_EQ(c.base, expected.base);
      caches.push_back(c);
    }
  } else if (!caches.empty()) {
    std::swap(caches[random.below(caches.size())], caches.back());
    page_cache& c = caches.back();
    for (const std::size_t n : {std::size_t{1}, random.below(16) + 1}) {
      const page_run r = c.alloc(n);
      if (!r) continue;
      held.push_back({r.page, n});
    }
    for (std::size_t b = 0; b < 64; ++b) {
      if (c.free >> b & 1) m.free(c.base + b, 1, c.scavenged >> b & 1);
    }
    c.flush(pages);
    ASSERT_TRUE(c.empty());
    caches.pop_back();
  }
}

TEST_F(PageAlloc, ActsAsANaiveFirstFitDoes) {
  for (const std::uint64_t seed : seeds()) {
    SCOPED_TRACE(seed);
    random_source random(seed);
    model m;
    std::vector<held_run> held;
    std::vector<page_cache> caches;
    ASSERT_TRUE(pages.init(2 * k_arena));
    for (std::size_t i = 0; i < test_count(20000, 4000); ++i) {
      // Two arenas of sixteen chunks, chunk by chunk.
      if (i % 500 == 0 && pages.end_page() < 2 * k_arena) {
        ASSERT_TRUE(pages.grow(pages.end_page(), k_chunk));
        m.grow(m.end(), k_chunk);
      }
      random_operation(random, pages, m, held, caches);
      if (HasFatalFailure()) return;
      if (i % 1000 == 0) expect_like(m);
    }
    expect_like(m);
    pages.destroy();
  }
}

TEST_F(PageAlloc, ActsAsANaiveFirstFitDoesOverManyChunks) {
  for (const std::uint64_t seed : seeds()) {
    SCOPED_TRACE(seed);
    random_source random(seed + 100);
    model m;
    std::vector<held_run> held;
    std::vector<page_cache> caches;
    ASSERT_TRUE(pages.init((test_count(400, 40) + 9) / 10 * 20 * k_chunk));
    for (std::size_t i = 0; i < test_count(400, 40); ++i) {
      if (i % 10 == 0) {
        const std::size_t gap = random.below(3) == 0 ? k_chunk * random.below(12) : 0;
        ASSERT_TRUE(pages.grow(pages.end_page() + gap, k_chunk * 8));
        m.grow(m.end() + gap, k_chunk * 8);
      }
      const std::size_t n = random.below(6000) + 1, align = random.below(3) == 0 ? 1024 : 1;
      const page_run expected = m.alloc(n, align), r = pages.alloc(n, align);
      ASSERT_EQ(r.page, expected.page);
      if (r) held.push_back({r.page, n});
      random_operation(random, pages, m, held, caches);
      if (HasFatalFailure()) return;
    }
    expect_like(m);
    pages.destroy();
  }
}

TEST_F(PageAlloc, EveryFailingCallOfInitAndGrowChangesNothing) {
  for (std::size_t n = 0;; ++n) {
    SCOPED_TRACE(n);
    const std::size_t failures_before = fake.failures();
    fake.fail_call(n);
    if (!pages.init(64 * k_arena)) {
      EXPECT_EQ(fake.reserved_bytes(), 0u);
      continue;
    }
    model m;
    // The second makes new levels, the third many chunks.
    const std::size_t starts[] = {0, k_arena, 2 * k_arena, 64 * k_arena};
    for (int i = 0; i < 3; ++i) {
      const std::size_t count = starts[i + 1] - starts[i];
      if (!pages.grow(starts[i], count)) {
        expect_like(m);
        ASSERT_TRUE(pages.grow(starts[i], count));
      }
      m.grow(starts[i], count);
      const page_run expected = m.alloc(k_arena / 2, 1);
      ASSERT_EQ(pages.alloc(k_arena / 2).page, expected.page);
    }
    expect_like(m);
    pages.destroy();
    EXPECT_EQ(fake.reserved_bytes(), 0u);
    if (fake.failures() == failures_before) break;
  }
  fake.fail_call(fake_os::k_never);
}

TEST_F(PageAlloc, AllocationAndFreeingNeverCallTheOs) {
  start(4 * k_arena, 4 * k_arena);
  const std::size_t commits = fake.calls(fake_os::k_commit);
  std::vector<std::size_t> all;
  while (const page_run r = pages.alloc(7)) all.push_back(r.page);
  for (const std::size_t page : all) pages.free(page, 7);
  EXPECT_EQ(fake.calls(fake_os::k_commit), commits);
  EXPECT_EQ(fake.calls(fake_os::k_map), 0u);
}

TEST_F(PageAlloc, CachesTakeTheLowestSixtyFourWithAFreePage) {
  start(k_arena, k_arena);
  ASSERT_TRUE(pages.alloc(130));
  pages.free(70, 2);
  const page_cache c = pages.alloc_cache();
  EXPECT_EQ(c.base, 64u);
  EXPECT_EQ(c.free, std::uint64_t{3} << 6);
  EXPECT_EQ(c.scavenged, 0u);
  const page_cache d = pages.alloc_cache();
  EXPECT_EQ(d.base, 128u);
  EXPECT_EQ(d.free, ~std::uint64_t{3});
  EXPECT_EQ(d.scavenged, d.free);
  EXPECT_EQ(pages.alloc(1).page, 192u);
  pages.free_cache(d);
  EXPECT_EQ(pages.alloc(1).page, 130u);
}

TEST_F(PageAlloc, MisuseEndsTheProcess) {
  // With threads of a sanitizer about, the child must not be a mere fork.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  start(k_arena, k_arena);
  ASSERT_TRUE(pages.alloc(4));
  EXPECT_DEATH(pages.free(4, 1), "a free page is freed");
  EXPECT_DEATH(pages.free(3, 2), "a free page is freed");
  EXPECT_DEATH(pages.free(k_arena, 1), "outside the heap");
  EXPECT_DEATH((void)pages.grow(0, k_chunk), "upwards");
}

// ---- for the scavenger ----

TEST_F(PageAlloc, UnitsBecomeIdleByBeingFreed) {
  start(k_arena, k_arena);
  constexpr std::size_t k_unit = page_alloc::k_unit_pages;
  // Fresh pages are scavenged already.
  EXPECT_EQ(pages.highest_idle_unit(k_no_page), k_no_page);
  EXPECT_EQ(pages.highest_whole_unit(k_no_page), k_no_page);
  ASSERT_TRUE(pages.alloc(4 * k_unit));
  pages.free(k_unit + 10, 5);
  pages.free(3 * k_unit, k_unit);
  EXPECT_EQ(pages.highest_idle_unit(k_no_page), 3u);
  EXPECT_EQ(pages.highest_whole_unit(k_no_page), 3u);
  EXPECT_EQ(pages.highest_idle_unit(3), 1u);
  EXPECT_EQ(pages.highest_whole_unit(3), k_no_page);
  EXPECT_EQ(pages.highest_idle_unit(1), k_no_page);

  page_alloc::idle_run r = pages.take_idle(3, 1);
  EXPECT_EQ(r.page, 3 * k_unit);
  EXPECT_EQ(r.count, k_unit);
  EXPECT_EQ(r.idle_pages, k_unit);
  EXPECT_EQ(pages.highest_whole_unit(k_no_page), k_no_page);
  pages.free_scavenged(r.page, r.count);
  EXPECT_EQ(pages.highest_whole_unit(k_no_page), k_no_page);

  r = pages.take_idle(1, 1);
  EXPECT_EQ(r.page, k_unit + 10);
  EXPECT_EQ(r.count, 5u);
  EXPECT_EQ(pages.take_idle(1, 1).count, 0u);
  pages.free_scavenged(r.page, r.count);
  EXPECT_EQ(pages.highest_idle_unit(k_no_page), k_no_page);
}

TEST_F(PageAlloc, IdleRunsAreTheHighestAndLeaveScavengedPagesOut) {
  start(k_arena, k_arena);
  ASSERT_TRUE(pages.alloc(256));
  pages.free(10, 4);
  pages.free(50, 40);            // across a word
  pages.free_scavenged(90, 10);  // adjacent, but returned already
  pages.free(240, 15);
  page_alloc::idle_run r = pages.take_idle(0, 1);
  EXPECT_EQ(r.page, 240u);
  EXPECT_EQ(r.count, 15u);
  r = pages.take_idle(0, 1);
  EXPECT_EQ(r.page, 50u);
  EXPECT_EQ(r.count, 40u);
  EXPECT_EQ(r.idle_pages, 40u);
  r = pages.take_idle(0, 1);
  EXPECT_EQ(r.page, 10u);
  EXPECT_EQ(pages.take_idle(0, 1).count, 0u);
}

TEST_F(PageAlloc, IdleRunsKeepToTheGranule) {
  start(k_arena, k_arena);
  ASSERT_TRUE(pages.alloc(256));
  pages.free(9, 30);  // granules of 8: 16 .. 32
  pages.free_scavenged(64, 3);
  pages.free(67, 1);
  pages.free_scavenged(68, 4);  // 64 .. 72, one page of which is idle
  page_alloc::idle_run r = pages.take_idle(0, 8);
  EXPECT_EQ(r.page, 64u);
  EXPECT_EQ(r.count, 8u);
  EXPECT_EQ(r.idle_pages, 1u);
  r = pages.take_idle(0, 8);
  EXPECT_EQ(r.page, 16u);
  EXPECT_EQ(r.count, 16u);
  EXPECT_EQ(pages.take_idle(0, 8).count, 0u);
  EXPECT_EQ(pages.take_idle(0, 64).count, 0u);
}

TEST_F(PageAlloc, DensityIsForgottenAfterTwoCycles) {
  start(k_arena, k_arena);
  EXPECT_FALSE(pages.was_dense(0));
  ASSERT_TRUE(pages.alloc(page_alloc::k_dense_pages));
  EXPECT_FALSE(pages.was_dense(0));
  ASSERT_TRUE(pages.alloc(1));
  EXPECT_TRUE(pages.was_dense(0));
  pages.free(0, 200);
  EXPECT_TRUE(pages.was_dense(0));
  pages.next_cycle();
  EXPECT_TRUE(pages.was_dense(0));
  pages.next_cycle();
  EXPECT_FALSE(pages.was_dense(0));
  // Dense all the time, whatever the cycle.
  ASSERT_TRUE(pages.alloc(200));
  for (int i = 0; i < 5; ++i) pages.next_cycle();
  EXPECT_TRUE(pages.was_dense(0));
  pages.free(0, 200);
  EXPECT_TRUE(pages.was_dense(0));
}

}  // namespace
}  // namespace cairn::heap
