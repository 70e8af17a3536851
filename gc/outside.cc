// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "gc/outside.h"

#include <algorithm>
#include <cerrno>

#include "cairn/detail/annotate.h"
#include "heap/file.h"

namespace cairn::gc {
namespace {

// Memory straight from the system.
class block {
 public:
  explicit block(std::size_t bytes) noexcept : bytes_(bytes), first_(heap::the_os().map(bytes)) {}
  ~block() {
    if (first_ != nullptr) heap::the_os().release(first_, bytes_);
  }
  block(const block&) = delete;
  block& operator=(const block&) = delete;
  void* get() const noexcept { return first_; }
  address_range range() const noexcept {
    const auto from = reinterpret_cast<std::uintptr_t>(first_);
    return {from, from + bytes_};
  }

 private:
  const std::size_t bytes_;
  void* const first_;
};

constexpr std::size_t k_copy_bytes = std::size_t{1} << 20, k_lines_bytes = std::size_t{64} << 10;

// A hexadecimal number at `p`, which is moved behind it.
std::uintptr_t parse_number(const char*& p, const char* end) noexcept {
  std::uintptr_t value = 0;
  for (; p < end; ++p) {
    const char c = *p;
    if (c >= '0' && c <= '9') value = value * 16 + static_cast<std::uintptr_t>(c - '0');
    else if (c >= 'a' && c <= 'f') value = value * 16 + static_cast<std::uintptr_t>(c - 'a' + 10);
    else break;
  }
  return value;
}

class reader {
 public:
  using block_function = void (*)(void* arg, const std::uintptr_t* words, std::size_t n);
  reader(mapped_array<address_range>& left_out, block_function f, void* arg) noexcept
      : left_out_(left_out), f_(f), arg_(arg) {}

  bool run(const mapped_array<address_range>& also) noexcept {
    if (!maps_.is_open() || !pages_.is_open() || !memory_.is_open()) return false;
    for (const block* own : {&copy_, &lines_, &entries_})
      if (own->get() == nullptr || !left_out_.push(own->range())) return false;
    std::sort(left_out_.begin(), left_out_.end(),
              [](const address_range& a, const address_range& b) { return a.from < b.from; });
    for (const address_range& r : also) read_range(r);
    auto* const lines = static_cast<char*>(lines_.get());
    std::size_t kept = 0;
    for (;;) {
      const ssize_t n = maps_.read(lines + kept, k_lines_bytes - kept);
      if (n < 0) return false;
      if (n == 0) return kept == 0 && can_read_;
      const char* p = lines;
      const char* const end = lines + kept + n;
      for (const char* stop; (stop = std::find(p, end, '\n')) != end; p = stop + 1) read_line(p, stop);
      kept = static_cast<std::size_t>(end - p);
      if (kept == k_lines_bytes) return false;
      std::copy(p, end, lines);
    }
  }

 private:
  // 7f0000000000-7f0000001000 rw-p ...
  void read_line(const char* p, const char* end) noexcept {
    const std::uintptr_t from = parse_number(p, end);
    if (p == end || *p++ != '-') return;
    const std::uintptr_t to = parse_number(p, end);
    if (end - p < 5 || p[1] != 'r' || p[2] != 'w' || p[4] != 'p') return;
    read_mapping({from, to});
  }

  void read_mapping(address_range r) noexcept {
    for (const address_range& cut : left_out_) {
      if (cut.to <= r.from) continue;
      if (cut.from >= r.to) break;
      if (cut.from > r.from) read_range({r.from, cut.from});
      r.from = std::max(r.from, cut.to);
      if (r.from >= r.to) return;
    }
    read_range(r);
  }

  // The pages of it that were written and are no file's.
  void read_range(address_range r) noexcept {
    constexpr std::uint64_t k_present = std::uint64_t{1} << 63, k_swapped = std::uint64_t{1} << 62;
    constexpr std::uint64_t k_of_file = std::uint64_t{1} << 61;
    auto* const entries = static_cast<std::uint64_t*>(entries_.get());
    for (std::uintptr_t page = r.from / page_bytes_; page * page_bytes_ < r.to;) {
      const std::size_t left = (r.to - page * page_bytes_ + page_bytes_ - 1) / page_bytes_;
      const std::size_t wanted = std::min(left, k_lines_bytes / sizeof *entries);
      const ssize_t got = pages_.read_at(page * sizeof *entries, entries, wanted * sizeof *entries);
      if (got <= 0) {
        can_read_ = false;
        return;
      }
      const std::size_t n = static_cast<std::size_t>(got) / sizeof *entries;
      for (std::size_t i = 0; i < n;) {
        std::size_t k = i;
        while (k < n && (entries[k] & (k_present | k_swapped)) != 0 && (entries[k] & k_of_file) == 0) ++k;
        if (k != i)
          read_words({std::max(r.from, (page + i) * page_bytes_), std::min(r.to, (page + k) * page_bytes_)});
        i = k + (k == i);
      }
      page += n;
    }
  }

  void read_words(address_range r) noexcept {
    r.from = (r.from + 7) & ~std::uintptr_t{7};
    while (r.from < r.to) {
      const ssize_t n = memory_.read_at(r.from, copy_.get(), std::min(k_copy_bytes, r.to - r.from));
      if (n <= 0) return;  // it was unmapped meanwhile
      f_(arg_, static_cast<const std::uintptr_t*>(copy_.get()), static_cast<std::size_t>(n) / 8);
      r.from += (static_cast<std::size_t>(n) + 7) & ~std::size_t{7};
    }
  }

  mapped_array<address_range>& left_out_;
  const block_function f_;
  void* const arg_;
  const std::size_t page_bytes_ = heap::the_os().physical_page_bytes();
  const heap::file maps_{"/proc/self/maps"}, pages_{"/proc/self/pagemap"}, memory_{"/proc/self/mem"};
  const block copy_{k_copy_bytes}, lines_{k_lines_bytes}, entries_{k_lines_bytes};
  bool can_read_ = true;
};

}  // namespace

bool for_each_outside_block(mapped_array<address_range>& left_out, const mapped_array<address_range>& also,
                            void (*f)(void* arg, const std::uintptr_t* words, std::size_t n),
                            void* arg) noexcept {
#if CAIRN_ASAN || CAIRN_TSAN
  (void)left_out, (void)also, (void)f, (void)arg;
  return true;
#else
  const int saved_errno = errno;
  const bool done = reader(left_out, f, arg).run(also);
  errno = saved_errno;
  return done;
#endif
}

}  // namespace cairn::gc
