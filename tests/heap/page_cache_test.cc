// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/page_cache.h"

#include <gtest/gtest.h>

#include <bit>

#include "heap/page_alloc.h"
#include "tests/heap/fake_os.h"

namespace cairn::heap {
namespace {

TEST(PageCache, EmptyOneGivesNothing) {
  page_cache c;
  EXPECT_TRUE(c.empty());
  for (std::size_t n = 1; n <= page_cache::k_pages; ++n) EXPECT_FALSE(c.alloc(n));
}

TEST(PageCache, WholeOneCanBeOneRun) {
  page_cache c{128, ~std::uint64_t{0}, 0xff};
  const page_run r = c.alloc(64);
  EXPECT_EQ(r.page, 128u);
  EXPECT_EQ(r.scavenged_pages, 8u);
  EXPECT_TRUE(c.empty());
  EXPECT_EQ(c.scavenged, 0u);
}

// Every pattern of the low twelve pages, moved to both ends of the word, and every length.
TEST(PageCache, EveryPatternOfTwelvePagesIsSearchedRight) {
  for (const unsigned shift : {0u, 30u, 52u}) {
    for (std::uint64_t pattern = 0; pattern < 1u << 12; ++pattern) {
      for (std::size_t n = 1; n <= 13; ++n) {
        page_cache c{640, pattern << shift, (pattern & 0x555) << shift};
        const std::uint64_t mask = (std::uint64_t{1} << n) - 1;
        std::size_t expected = k_no_page;
        for (unsigned i = 0; i + n <= 12 && expected == k_no_page; ++i) {
          if ((pattern >> i & mask) == mask) expected = 640 + shift + i;
        }
        const page_run r = c.alloc(n);
        ASSERT_EQ(r.page, expected) << pattern << " " << n;
        if (!r) {
          ASSERT_EQ(c.free, pattern << shift);
          continue;
        }
        const std::uint64_t taken = mask << (r.page - 640);
        ASSERT_EQ(c.free, (pattern << shift) & ~taken);
        ASSERT_EQ(c.scavenged & ~c.free, 0u);
        ASSERT_EQ(r.scavenged_pages,
                  static_cast<std::size_t>(std::popcount(((pattern & 0x555) << shift) & taken)));
      }
    }
  }
}

TEST(PageCache, FlushReturnsWhatIsLeft) {
  fake_os fake;
  page_alloc pages;
  ASSERT_TRUE(pages.init(8192));
  ASSERT_TRUE(pages.grow(0, 8192));
  page_cache c = pages.alloc_cache();
  EXPECT_EQ(pages.pages_in_use(), 64u);
  EXPECT_EQ(c.alloc(3).page, 0u);
  EXPECT_EQ(c.alloc(16).page, 3u);
  c.flush(pages);
  EXPECT_TRUE(c.empty());
  EXPECT_EQ(pages.pages_in_use(), 19u);
  EXPECT_EQ(pages.pages_scavenged(), 8192u - 19);
  EXPECT_STREQ(pages.broken_invariant(), nullptr);
  c.flush(pages);
  EXPECT_EQ(pages.pages_in_use(), 19u);
  pages.destroy();
}

}  // namespace
}  // namespace cairn::heap
