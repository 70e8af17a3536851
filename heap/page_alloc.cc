// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The page allocator's bitmaps, summaries and searches. See heap/page_alloc.h for overview.
#include "heap/page_alloc.h"

#include <algorithm>
#include <bit>

#include "cairn/detail/assert.h"
#include "heap/bits.h"
#include "heap/metadata.h"
#include "heap/os.h"

namespace cairn::heap {
namespace {

constexpr std::size_t k_word_pages = 64;
constexpr std::size_t k_chunk_words = page_alloc::k_chunk_pages / k_word_pages;
constexpr std::size_t k_chunk_units = page_alloc::k_chunk_pages / page_alloc::k_unit_pages;
static_assert(k_chunk_units == 2);

static_assert(k_no_bit == k_no_page, "a search of a bitmap says \"none\" as a search for pages does");

constexpr std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

// Calls f(word index, mask) for the words that pages [page, end) touch.
template <class F>
inline void for_each_word(std::size_t page, std::size_t end, F f) noexcept {
  while (page < end) {
    const std::size_t word = page / k_word_pages;
    const std::size_t stop = std::min(end, (word + 1) * k_word_pages);
    f(word, ones(static_cast<unsigned>(stop - page)) << (page % k_word_pages));
    page = stop;
  }
}

struct chunk_result {
  std::size_t at = k_no_page;  // first page of the run, within the chunk
  std::size_t tail = 0;        // else: so many free pages end the chunk, counted from `from`
};

// The first n free pages in a row of a chunk, at or after `from`.
chunk_result find_in_chunk(const std::uint64_t* words, std::size_t n, std::size_t from) noexcept {
  std::size_t run = 0;
  for (std::size_t w = from / k_word_pages; w < k_chunk_words; ++w) {
    std::uint64_t free = ~words[w];
    if (w == from / k_word_pages) free &= ~std::uint64_t{0} << (from % k_word_pages);
    const std::size_t leading = static_cast<std::size_t>(std::countr_one(free));
    if (run + leading >= n) return {w * k_word_pages - run, 0};
    if (leading == k_word_pages) {
      run += k_word_pages;
      continue;
    }
    if (n < k_word_pages) {
      const std::size_t at = find_ones(free, static_cast<unsigned>(n));
      if (at < k_word_pages) return {w * k_word_pages + at, 0};
    }
    run = static_cast<std::size_t>(std::countl_one(free));
  }
  return {k_no_page, run};
}

}  // namespace

// ---- growing_table ----

void growing_table::init(void* base, std::size_t reserved_bytes) noexcept {
  base_ = static_cast<char*>(base);
  reserved_ = reserved_bytes;
  committed_ = 0;
}

bool growing_table::ensure(std::size_t bytes) noexcept {
  if (bytes <= committed_) return true;
  const std::size_t wanted = round_up(bytes, k_step_bytes);
  CAIRN_CHECK(wanted <= reserved_, "a table grows past its reservation");
  if (!the_os().commit(base_ + committed_, wanted - committed_)) return false;
  metadata_note(static_cast<std::ptrdiff_t>(wanted - committed_));
  committed_ = wanted;
  return true;
}

// ---- storage ----

// Bytes of each table when `chunks` chunks exist and levels up to `top_level` are kept.
void page_alloc::table_sizes(std::size_t chunks, int top_level, std::size_t (&bytes)[k_tables]) noexcept {
  const std::size_t units = chunks * k_chunk_units;
  bytes[0] = bytes[1] = chunks * k_chunk_words * sizeof(std::uint64_t);
  bytes[2] = units * sizeof(unit_info);
  bytes[3] = bytes[4] = round_up(units, 64) / 8;
  for (int level = 0; level < k_levels; ++level) {
    // All children of a parent exist, those past the end as "nothing free".
    const std::size_t nodes = round_up(round_up(chunks, std::size_t{1} << (3 * level)) >> (3 * level),
                                       k_fan_out);
    bytes[5 + level] = level <= top_level ? nodes * sizeof(summary) : 0;
  }
}

bool page_alloc::init(std::size_t reserved_pages) noexcept {
  CAIRN_CHECK(reserved_pages != 0 && reserved_pages <= k_max_pages,
              "a heap of this size has no page numbers");
  std::size_t sizes[k_tables];
  table_sizes(round_up(reserved_pages, k_chunk_pages) / k_chunk_pages, k_levels - 1, sizes);
  std::size_t total = 0;
  for (std::size_t& size : sizes) total += size = round_up(size, growing_table::k_step_bytes);
  char* base = static_cast<char*>(the_os().reserve(total, growing_table::k_step_bytes, nullptr));
  if (base == nullptr) return false;
  storage_ = base;
  storage_bytes_ = total;
  reserved_pages_ = reserved_pages;
  void* starts[k_tables];
  for (std::size_t i = 0; i < k_tables; ++i) {
    tables_[i].init(base, sizes[i]);
    starts[i] = base;
    base += sizes[i];
  }
  in_use_ = static_cast<std::uint64_t*>(starts[0]);
  scavenged_ = static_cast<std::uint64_t*>(starts[1]);
  units_ = static_cast<unit_info*>(starts[2]);
  idle_units_ = static_cast<std::uint64_t*>(starts[3]);
  whole_units_ = static_cast<std::uint64_t*>(starts[4]);
  for (int level = 0; level < k_levels; ++level) summary_[level] = static_cast<summary*>(starts[5 + level]);
  return true;
}

void page_alloc::destroy() noexcept {
  if (storage_ == nullptr) return;
  metadata_note(-static_cast<std::ptrdiff_t>(committed_bytes()));
  the_os().release(storage_, storage_bytes_);
  for (growing_table& t : tables_) t.init(nullptr, 0);
  storage_ = nullptr;
  search_hint_ = end_chunk_ = pages_grown_ = pages_in_use_ = pages_free_ = pages_scavenged_ = 0;
  top_level_ = 0;
}

std::size_t page_alloc::committed_bytes() const noexcept {
  std::size_t sum = 0;
  for (const growing_table& t : tables_) sum += t.committed_bytes();
  return sum;
}

bool page_alloc::grow(std::size_t first, std::size_t count) noexcept {
  CAIRN_CHECK(first % k_chunk_pages == 0 && count % k_chunk_pages == 0 && count != 0,
              "growth is by whole chunks");
  CAIRN_CHECK(first >= end_page() && first + count <= round_up(reserved_pages_, k_chunk_pages),
              "growth is upwards and inside the reservation");
  const std::size_t first_chunk = first / k_chunk_pages, end_chunk = (first + count) / k_chunk_pages;
  int top = top_level_;
  while (std::size_t{1} << (3 * top) < end_chunk) ++top;
  std::size_t sizes[k_tables];
  table_sizes(end_chunk, top, sizes);
  for (std::size_t i = 0; i < k_tables; ++i) {
    if (!tables_[i].ensure(sizes[i])) return false;
  }
  // A gap below `first` is in use for ever. Pages above the end have zero bits, which nobody reads before
  // they are grown.
  std::fill(in_use_ + end_chunk_ * k_chunk_words, in_use_ + first_chunk * k_chunk_words, ~std::uint64_t{0});
  std::fill(scavenged_ + first_chunk * k_chunk_words, scavenged_ + end_chunk * k_chunk_words,
            ~std::uint64_t{0});
  for (std::size_t u = first_chunk * k_chunk_units; u < end_chunk * k_chunk_units; ++u) {
    units_[u].free = k_unit_pages;
  }
  // A new top level covers the old chunks too.
  const std::size_t recompute_from = top != top_level_ ? 0 : first_chunk;
  // The hint stays: it is at most the old end, which is at most `first`.
  end_chunk_ = end_chunk;
  top_level_ = top;
  pages_grown_ += count;
  pages_free_ += count;
  pages_scavenged_ += count;
  update_summaries(recompute_from, end_chunk - 1, true);
  return true;
}

// ---- summaries ----

page_alloc::summary page_alloc::summarize(const std::uint64_t* words) noexcept {
  // Runs that touch the edge of a word, then those inside words, as far as they can still be longer.
  std::uint32_t run = 0, most = 0, start = 0;
  bool all_free_so_far = true;
  for (std::size_t w = 0; w < k_chunk_words; ++w) {
    const std::uint64_t free = ~words[w];
    if (free == ~std::uint64_t{0}) {
      run += k_word_pages;
      continue;
    }
    run += static_cast<std::uint32_t>(std::countr_one(free));
    if (all_free_so_far) start = run;
    all_free_so_far = false;
    most = std::max(most, run);
    run = static_cast<std::uint32_t>(std::countl_one(free));
  }
  most = std::max(most, run);
  if (all_free_so_far) return {k_chunk_pages, k_chunk_pages, k_chunk_pages};
  for (std::size_t w = 0; w < k_chunk_words && most < k_word_pages - 2; ++w) {
    const std::uint64_t free = ~words[w];
    if (free == 0) continue;
    std::uint64_t longer = fold_ones(free, most + 1);
    // Bit i of `longer`: a run of most + 1 begins there. One bit fewer each time.
    for (; longer != 0; longer &= longer >> 1) ++most;
  }
  return {start, most, run};
}

page_alloc::summary page_alloc::merge(const summary* children, std::size_t child_pages) noexcept {
  const std::uint32_t whole = static_cast<std::uint32_t>(child_pages);
  summary sum = children[0];
  std::uint32_t covered = whole;
#pragma GCC unroll 8
  for (std::size_t i = 1; i < k_fan_out; ++i) {
    const summary& s = children[i];
    if (sum.start == covered) sum.start += s.start;
    sum.most = std::max({sum.most, s.most, sum.end + s.start});
    sum.end = s.end == whole ? sum.end + whole : s.end;
    covered += whole;
  }
  return sum;
}

// Pages [at, at + n) of a chunk were just taken. What is free beside them was one run with them.
auto page_alloc::summary_less(std::size_t chunk, std::size_t at, std::size_t n) const noexcept -> summary {
  const std::uint64_t* words = in_use_ + chunk * k_chunk_words;
  summary s = summary_[0][chunk];
  const std::size_t before = zeros_before(words, at), after = zeros_from(words, at + n, k_chunk_pages);
  // Out of a run that is not the longest: the longest stays. Out of the longest: what is left of it, if
  // nothing else can be as long.
  if (before + n + after == s.most) {
    const unit_info* units = units_ + chunk * k_chunk_units;
    const std::size_t longer = std::max(before, after), free = std::size_t{units[0].free} + units[1].free;
    if (longer < free - before - after) return summarize(words);
    s.most = static_cast<std::uint32_t>(longer);
  }
  s.start = std::min(s.start, static_cast<std::uint32_t>(at));
  s.end = std::min(s.end, static_cast<std::uint32_t>(k_chunk_pages - at - n));
  return s;
}

// Pages [at, at + n) of a chunk were just freed.
auto page_alloc::summary_more(std::size_t chunk, std::size_t at, std::size_t n) const noexcept -> summary {
  const std::uint64_t* words = in_use_ + chunk * k_chunk_words;
  summary s = summary_[0][chunk];
  const std::size_t before = zeros_before(words, at), after = zeros_from(words, at + n, k_chunk_pages);
  const std::uint32_t run = static_cast<std::uint32_t>(before + n + after);
  s.most = std::max(s.most, run);
  if (before == at) s.start = run;
  if (at + n + after == k_chunk_pages) s.end = run;
  return s;
}

// After pages [page, page + n) were taken, or freed. Inside one chunk its summary follows from the old one.
void page_alloc::update_after(change what, std::size_t page, std::size_t n) noexcept {
  const std::size_t chunk = page / k_chunk_pages, at = page % k_chunk_pages;
  if (at + n > k_chunk_pages) return update_summaries(chunk, (page + n - 1) / k_chunk_pages, false);
  const summary s = what == change::taken ? summary_less(chunk, at, n) : summary_more(chunk, at, n);
  if (s == summary_[0][chunk]) return;
  summary_[0][chunk] = s;
  update_parents(chunk, chunk, false);
}

// All chunks from `first` to `last`, whatever happened to them.
void page_alloc::update_summaries(std::size_t first, std::size_t last, bool all_levels) noexcept {
  bool changed = all_levels;
  for (std::size_t c = first; c <= last; ++c) {
    const summary s = summarize(in_use_ + c * k_chunk_words);
    if (s == summary_[0][c]) continue;
    summary_[0][c] = s;
    changed = true;
  }
  if (changed) update_parents(first, last, all_levels);
}

// Of those chunks' nodes, up to where nothing changes.
void page_alloc::update_parents(std::size_t first, std::size_t last, bool all_levels) noexcept {
  bool changed = true;
  for (int level = 1; level <= top_level_ && changed; ++level) {
    changed = all_levels;
    first /= k_fan_out;
    last /= k_fan_out;
    for (std::size_t i = first; i <= last; ++i) {
      const summary s = merge(summary_[level - 1] + i * k_fan_out, level_pages(level - 1));
      if (s == summary_[level][i]) continue;
      summary_[level][i] = s;
      changed = true;
    }
  }
}

// ---- searches ----

// The lowest page at or after `from` at which n free pages begin. Walks the forest of summaries from left to
// right in the largest nodes that begin where it stands, goes down into one only when the run is in it, and
// carries the free pages that end where it stands: at most 8 nodes a level on the way up and 8 on the way
// down.
std::size_t page_alloc::find(std::size_t n, std::size_t from) const noexcept {
  std::size_t chunk = from / k_chunk_pages;
  if (chunk >= end_chunk_) return k_no_page;
  std::size_t run;
  if (summary_[0][chunk].most >= n) {
    const chunk_result r = find_in_chunk(in_use_ + chunk * k_chunk_words, n, from % k_chunk_pages);
    if (r.at != k_no_page) return chunk * k_chunk_pages + r.at;
    run = r.tail;
  } else {
    run = std::min<std::size_t>(summary_[0][chunk].end, k_chunk_pages - from % k_chunk_pages);
  }
  for (++chunk; chunk < end_chunk_;) {
    int level = std::min(top_level_, std::countr_zero(chunk) / 3);
    for (;; --level) {
      const summary& s = summary_[level][chunk >> (3 * level)];
      if (run + s.start >= n) return chunk * k_chunk_pages - run;
      if (s.most < n) {
        run = s.end == level_pages(level) ? run + s.end : s.end;
        break;
      }
      if (level == 0) {
        return chunk * k_chunk_pages + find_in_chunk(in_use_ + chunk * k_chunk_words, n, 0).at;
      }
    }
    chunk += std::size_t{1} << (3 * level);
  }
  return k_no_page;
}

// Every aligned place is at or after the lowest place p, hence at or after p rounded up: search again from
// there until the two agree.
std::size_t page_alloc::find_aligned(std::size_t n, std::size_t align_pages) const noexcept {
  std::size_t page = find(n, search_hint_);
  while (page != k_no_page && page % align_pages != 0) page = find(n, round_up(page, align_pages));
  return page;
}

// ---- allocation ----

void page_alloc::count_unit(std::size_t unit, std::ptrdiff_t free_delta, std::ptrdiff_t idle_delta,
                            density d) noexcept {
  constexpr std::size_t k_free_of_dense = k_unit_pages - k_dense_pages;
  unit_info& u = units_[unit];
  const std::uint16_t before = u.free;
  u.free = static_cast<std::uint16_t>(u.free + free_delta);
  u.idle = static_cast<std::uint16_t>(u.idle + idle_delta);
  if (std::min(before, u.free) < k_free_of_dense && d == density::note) u.dense_cycle = cycle_;
  const std::uint64_t bit = std::uint64_t{1} << (unit % 64);
  std::uint64_t& idle = idle_units_[unit / 64];
  std::uint64_t& whole = whole_units_[unit / 64];
  idle = u.idle != 0 ? idle | bit : idle & ~bit;
  whole = u.idle != 0 && u.free == k_unit_pages ? whole | bit : whole & ~bit;
}

// Returns how many of the pages were scavenged.
std::size_t page_alloc::mark_used(std::size_t page, std::size_t n, density d) noexcept {
  std::size_t all_scavenged = 0;
  for (const std::size_t end = page + n; page < end;) {
    const std::size_t unit = page / k_unit_pages;
    const std::size_t stop = std::min(end, (unit + 1) * k_unit_pages);
    std::size_t scavenged = 0;
    for_each_word(page, stop, [&](std::size_t w, std::uint64_t mask) {
      CAIRN_CHECK((in_use_[w] & mask) == 0, "a page in use is allocated");
      in_use_[w] |= mask;
      if (const std::uint64_t s = scavenged_[w] & mask) {
        scavenged += static_cast<std::size_t>(std::popcount(s));
        scavenged_[w] &= ~mask;
      }
    });
    const std::ptrdiff_t count = static_cast<std::ptrdiff_t>(stop - page);
    count_unit(unit, -count, static_cast<std::ptrdiff_t>(scavenged) - count, d);
    all_scavenged += scavenged;
    page = stop;
  }
  pages_in_use_ += n;
  pages_free_ -= n;
  pages_scavenged_ -= all_scavenged;
  return all_scavenged;
}

void page_alloc::mark_free(std::size_t page, std::size_t n, bool scavenged, density d) noexcept {
  pages_in_use_ -= n;
  pages_free_ += n;
  if (scavenged) pages_scavenged_ += n;
  for (const std::size_t end = page + n; page < end;) {
    const std::size_t unit = page / k_unit_pages;
    const std::size_t stop = std::min(end, (unit + 1) * k_unit_pages);
    for_each_word(page, stop, [&](std::size_t w, std::uint64_t mask) {
      CAIRN_CHECK((in_use_[w] & mask) == mask, "a free page is freed");
      in_use_[w] &= ~mask;
      if (scavenged) scavenged_[w] |= mask;
    });
    const std::ptrdiff_t count = static_cast<std::ptrdiff_t>(stop - page);
    count_unit(unit, count, scavenged ? 0 : count, d);
    page = stop;
  }
}

page_run page_alloc::alloc(std::size_t n, std::size_t align_pages) noexcept {
  CAIRN_CHECK(n != 0, "no pages are asked for");
  const std::size_t page = align_pages == 1 ? find(n, search_hint_) : find_aligned(n, align_pages);
  if (page == k_no_page) {
    if (n == 1 && align_pages == 1) search_hint_ = end_page();
    return {};
  }
  const std::size_t scavenged = mark_used(page, n, density::note);
  update_after(change::taken, page, n);
  // A single page was the lowest free one.
  if (page == search_hint_ || (n == 1 && align_pages == 1)) search_hint_ = page + n;
  return {page, scavenged};
}

void page_alloc::free(std::size_t page, std::size_t n) noexcept { release(page, n, false, density::note); }

// The unit's emptiness tells nothing here: its pages were taken by the scavenger, not by an allocation.
void page_alloc::free_scavenged(std::size_t page, std::size_t n) noexcept {
  release(page, n, true, density::ignore);
}

void page_alloc::release(std::size_t page, std::size_t n, bool scavenged, density d) noexcept {
  CAIRN_CHECK(n != 0 && page + n <= end_page(), "pages outside the heap are freed");
  mark_free(page, n, scavenged, d);
  update_after(change::freed, page, n);
  search_hint_ = std::min(search_hint_, page);
}

page_cache page_alloc::alloc_cache() noexcept {
  const std::size_t page = find(1, search_hint_);
  if (page == k_no_page) {
    search_hint_ = end_page();
    return {};
  }
  const std::size_t w = page / k_word_pages;
  page_cache c{w * k_word_pages, ~in_use_[w], 0};
  c.scavenged = c.free & scavenged_[w];
  const std::ptrdiff_t free = std::popcount(c.free), scavenged = std::popcount(c.scavenged);
  in_use_[w] = ~std::uint64_t{0};
  scavenged_[w] &= ~c.free;
  count_unit(page / k_unit_pages, -free, scavenged - free, density::note);
  pages_in_use_ += static_cast<std::size_t>(free);
  pages_free_ -= static_cast<std::size_t>(free);
  pages_scavenged_ -= static_cast<std::size_t>(scavenged);
  update_summaries(page / k_chunk_pages, page / k_chunk_pages, false);
  search_hint_ = c.base + k_word_pages;
  return c;
}

void page_alloc::free_cache(const page_cache& c) noexcept {
  if (c.empty()) return;
  const std::size_t w = c.base / k_word_pages;
  CAIRN_CHECK(c.base < end_page() && (in_use_[w] & c.free) == c.free, "a page cache holds a free page");
  const std::ptrdiff_t free = std::popcount(c.free), scavenged = std::popcount(c.scavenged);
  in_use_[w] &= ~c.free;
  scavenged_[w] |= c.scavenged;
  count_unit(c.base / k_unit_pages, free, free - scavenged, density::note);
  pages_in_use_ -= static_cast<std::size_t>(free);
  pages_free_ += static_cast<std::size_t>(free);
  pages_scavenged_ += static_cast<std::size_t>(scavenged);
  update_summaries(c.base / k_chunk_pages, c.base / k_chunk_pages, false);
  search_hint_ = std::min(search_hint_, c.base);
}

// ---- for the scavenger ----

bool page_alloc::was_dense(std::size_t unit) const noexcept {
  const unit_info& u = units_[unit];
  return u.free < k_unit_pages - k_dense_pages || static_cast<std::uint16_t>(cycle_ - u.dense_cycle) < 2;
}

std::size_t page_alloc::highest_whole_unit(std::size_t limit) const noexcept {
  return highest_bit(whole_units_, std::min(limit, unit_count()));
}

std::size_t page_alloc::highest_idle_unit(std::size_t limit) const noexcept {
  return highest_bit(idle_units_, std::min(limit, unit_count()));
}

page_alloc::idle_run page_alloc::take_idle(std::size_t unit, std::size_t granule) noexcept {
  constexpr std::size_t k_unit_words = k_unit_pages / k_word_pages;
  const std::size_t first = unit * k_unit_pages;
  std::size_t begin = 0, end = k_unit_pages;
  if (units_[unit].free != k_unit_pages) {
    const unsigned g = static_cast<unsigned>(granule);
    std::uint64_t wanted[k_unit_words];
    for (std::size_t i = 0; i < k_unit_words; ++i) {
      const std::uint64_t free = ~in_use_[first / k_word_pages + i];
      wanted[i] = full_groups(free, g) & touched_groups(free & ~scavenged_[first / k_word_pages + i], g);
    }
    const std::size_t last = highest_bit(wanted, k_unit_pages);
    if (last == k_no_bit) return {};
    end = last + 1;
    begin = end - ones_before(wanted, end);
  }
  const std::size_t scavenged = mark_used(first + begin, end - begin, density::ignore);
  update_after(change::taken, first + begin, end - begin);
  return {first + begin, end - begin, end - begin - scavenged};
}

// ---- invariants ----

const char* page_alloc::broken_unit() const noexcept {
  std::size_t all_free = 0, all_idle = 0;
  for (std::size_t unit = 0; unit < unit_count(); ++unit) {
    std::size_t free = 0, idle = 0;
    for_each_word(unit * k_unit_pages, (unit + 1) * k_unit_pages, [&](std::size_t w, std::uint64_t) {
      free += static_cast<std::size_t>(std::popcount(~in_use_[w]));
      idle += static_cast<std::size_t>(std::popcount(~in_use_[w] & ~scavenged_[w]));
    });
    if (units_[unit].free != free) return "a unit counts its free pages";
    if (units_[unit].idle != idle) return "a unit counts its free pages that are not scavenged";
    if ((idle_units_[unit / 64] >> (unit % 64) & 1) != (idle != 0)) return "idle units have their bit set";
    if ((whole_units_[unit / 64] >> (unit % 64) & 1) != (idle != 0 && free == k_unit_pages))
      return "wholly free units have their bit set";
    all_free += free;
    all_idle += idle;
  }
  if (all_free != pages_free_) return "pages_free counts the free pages";
  if (all_free - all_idle != pages_scavenged_) return "pages_scavenged counts the scavenged pages";
  return nullptr;
}

const char* page_alloc::broken_summary() const noexcept {
  const std::size_t padded = round_up(end_chunk_, k_fan_out);
  for (std::size_t c = 0; c < padded; ++c) {
    const summary s = c < end_chunk_ ? summarize(in_use_ + c * k_chunk_words) : summary{};
    if (s != summary_[0][c]) return "a chunk's summary is that of its bits";
  }
  for (int level = 1; level <= top_level_; ++level) {
    const std::size_t nodes = (end_chunk_ + (std::size_t{1} << (3 * level)) - 1) >> (3 * level);
    for (std::size_t i = 0; i < nodes; ++i) {
      const summary s = merge(summary_[level - 1] + i * k_fan_out, level_pages(level - 1));
      if (s != summary_[level][i]) return "a node's summary is its children's";
    }
  }
  return nullptr;
}

const char* page_alloc::broken_invariant() const noexcept {
  if (pages_in_use_ + pages_free_ != pages_grown_) return "every page is in use or free";
  if (const char* broken = broken_unit()) return broken;
  if (const char* broken = broken_summary()) return broken;
  for (std::size_t w = 0; w * k_word_pages < std::min(search_hint_, end_page()); ++w) {
    const std::uint64_t below = ones(
        static_cast<unsigned>(std::min(k_word_pages, search_hint_ - w * k_word_pages)));
    if ((~in_use_[w] & below) != 0) return "no page below the search hint is free";
  }
  return nullptr;
}

void page_alloc::check_invariants() const noexcept {
  const char* broken = broken_invariant();
  CAIRN_CHECK(broken == nullptr, broken);
}

}  // namespace cairn::heap
