// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// heap/os.h for Linux. The only file that calls mmap, mprotect, madvise and munmap for the heap.
//
// Where the heap lies. A conservative scan takes any word for a pointer whose value lies in the reservation,
// so its addresses should be unlike other words. The reservation begins at 0x1d00'8400'0000 if that is free,
// because then a word can be mistaken only if
//   - as two 32-bit integers, its upper one is in [7424, 7680]: no power of two, no small count, no Unix
//     time;
//   - as text, its sixth byte is the control character 0x1d and the last two are NUL;
//   - as a double, it is subnormal; as two floats, the upper one is;
//   - as Unix time, it is in no unit a date of this century: milliseconds lie around 0x01a0'0000'0000 (which
//     an address like Go's 0x00c0'0000'0000 would collide with at 1 TiB), microseconds and nanoseconds beyond
//     47 bits.
//   - half of it is left of an older word, an address, and the other half a small integer that was stored over it: in
//     the frames of any program. Below 2 GiB of heap such a word lies outside, for the lower halves of addresses
//     begin where neither counts, small negative numbers, Unix time nor the floats' zeros are. (At 0x1d00'0000'0000 a
//     count of 4 was the first object: of binary-trees one run in six kept its first tree, of 16 MiB, for two cycles.)
// The kernel's own choices (0x55..., 0x7f...) are as good on most counts, but they vary from run to run; a
// fixed one makes failures repeatable. The range is far from executables, the brk heap and mmap's top-down
// area.
//
// Rejected: MAP_FIXED_NOREPLACE (the hint without it does the same, and falls back in one call);
//           MADV_FREE (memory stays charged to the process until pressure, so what users see does not
//           shrink).
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>

#include "cairn/detail/annotate.h"
#include "cairn/detail/assert.h"
#include "heap/file.h"
#include "heap/os.h"

namespace cairn::heap {
namespace {

// Restores errno at the end of a call that may be made from a signal handler.
class keep_errno {
 public:
  keep_errno() noexcept = default;
  ~keep_errno() { errno = saved_; }
  keep_errno(const keep_errno&) = delete;
  keep_errno& operator=(const keep_errno&) = delete;

 private:
  const int saved_ = errno;
};

// Older headers lack MADV_GUARD_INSTALL and _REMOVE (Linux 6.13), MADV_POPULATE_WRITE (5.14) and PIDFD_SELF_THREAD
// (6.15).
constexpr int k_madv_guard_install = 102, k_madv_guard_remove = 103, k_madv_populate_write = 23,
              k_pidfd_self = -10000;
constexpr int k_private = MAP_PRIVATE | MAP_ANONYMOUS;

void* map_private(std::size_t bytes) noexcept {
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, k_private, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

// What map() gives out is cut from mappings of 2 MiB. A call of the system for each slab of the runtime's would take
// the lock of the address space each time, for which the page faults of all threads wait: some hundred a second while
// marking, and some of the longest waits of a program's threads were theirs. What is not asked for is never touched.
struct chunk {
  std::atomic<std::size_t> used;
};
constexpr std::size_t k_chunk_bytes = std::size_t{2} << 20;
// Acquire by who cuts, release by who puts a new one here: with the first value of `used`.
constinit std::atomic<chunk*> g_chunk{nullptr};

void* cut(chunk* from, std::size_t bytes) noexcept {
  if (from == nullptr || from->used.load(std::memory_order_relaxed) > k_chunk_bytes - bytes) return nullptr;
  const std::size_t at = from->used.fetch_add(bytes, std::memory_order_relaxed);
  return at <= k_chunk_bytes - bytes ? reinterpret_cast<char*>(from) + at : nullptr;
}

// `bytes`: whole pages.
void* map_from_chunk(std::size_t bytes, std::size_t page) noexcept {
  for (;;) {
    chunk* seen = g_chunk.load(std::memory_order_acquire);
    if (void* p = cut(seen, bytes)) return p;
    void* memory = map_private(k_chunk_bytes);
    if (memory == nullptr) return map_private(bytes);
    auto* made = ::new (memory) chunk{page};
    if (g_chunk.compare_exchange_strong(seen, made, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    ::munmap(memory, k_chunk_bytes);  // somebody else was faster, and that one is as good
  }
}

void* map_none(void* hint, std::size_t bytes) noexcept {
  void* p = ::mmap(hint, bytes, PROT_NONE, k_private | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

class linux_os final : public os {
 public:
  void* reserve(std::size_t bytes, std::size_t align, void* hint) noexcept override {
    keep_errno keep;
    void* p = map_none(hint, bytes);
    if (p == nullptr || reinterpret_cast<std::uintptr_t>(p) % align == 0) return p;
    ::munmap(p, bytes);
    // Anywhere: take `align` more, keep the aligned part.
    if (bytes + align < bytes) return nullptr;
    p = map_none(nullptr, bytes + align);
    if (p == nullptr) return nullptr;
    const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(p);
    const std::uintptr_t aligned = (first + align - 1) & ~(align - 1);
    if (aligned != first) ::munmap(p, aligned - first);
    const std::uintptr_t end = first + bytes + align;
    if (aligned + bytes != end) ::munmap(reinterpret_cast<void*>(aligned + bytes), end - aligned - bytes);
    return reinterpret_cast<void*>(aligned);
  }

  bool commit(void* address, std::size_t bytes) noexcept override {
    keep_errno keep;
    return ::mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0;
  }

  bool give_back(void* address, std::size_t bytes) noexcept override {
    keep_errno keep;
    // EAGAIN is for a kernel that is short of memory at that moment; EINVAL is how locked pages (mlockall)
    // refuse.
    for (int attempt = 0; attempt < 3; ++attempt) {
      if (::madvise(address, bytes, MADV_DONTNEED) == 0) return true;
      if (errno != EAGAIN) return false;
    }
    return false;
  }

  void release(void* address, std::size_t bytes) noexcept override {
    keep_errno keep;
    ::munmap(address, bytes);
  }

  void* map(std::size_t bytes) noexcept override {
    keep_errno keep;
    const std::size_t page = physical_page_bytes();
    if (bytes > SIZE_MAX - page) return nullptr;
    const std::size_t whole = (bytes + page - 1) / page * page;
    return whole <= k_chunk_bytes / 8 ? map_from_chunk(whole, page) : map_private(whole);
  }

  void advise(void* address, std::size_t bytes, huge_pages wanted) noexcept override {
    keep_errno keep;
    ::madvise(address, bytes, wanted == huge_pages::yes ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }

  // Kernels before 6.13 do not know the advice; locked pages cannot be marked.
  guard_kind guard(void* address, std::size_t bytes, bool may_split) noexcept override {
    keep_errno keep;
    if (::madvise(address, bytes, k_madv_guard_install) == 0) return guard_kind::marked;
    if (may_split && ::mprotect(address, bytes, PROT_NONE) == 0) return guard_kind::split;
    return guard_kind::none;
  }

  std::size_t guard_marks(const range* ranges, std::size_t n) noexcept override {
    return advise_each(ranges, n, k_madv_guard_install);
  }

  void unmark(const range* ranges, std::size_t n) noexcept override {
    keep_errno keep;
    for (std::size_t i = advise_each(ranges, n, k_madv_guard_remove); i < n; ++i)
      ::madvise(ranges[i].address, ranges[i].bytes, k_madv_guard_remove);
  }

  bool populate(const range* ranges, std::size_t n) noexcept override {
    return advise_each(ranges, n, k_madv_populate_write) == n;
  }

  std::size_t physical_page_bytes() const noexcept override {
    static constexpr std::size_t k_unknown = 0;
    // Relaxed: whoever computes it stores the same value.
    std::size_t bytes = page_bytes_.load(std::memory_order_relaxed);
    if (bytes == k_unknown) {
      keep_errno keep;
      bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
      page_bytes_.store(bytes, std::memory_order_relaxed);
    }
    return bytes;
  }

  std::size_t address_space_left() const noexcept override {
    keep_errno keep;
    rlimit limit;
    if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
    const std::size_t used = address_space_used();
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
  }

 private:
  // process_madvise of the process itself, which takes any advice since it takes k_pidfd_self. (No descriptor from
  // pidfd_open: in a forked child that would name the parent.) Returns how many of the ranges, from the first, took it.
  std::size_t advise_each(const range* ranges, std::size_t n, int advice) noexcept {
    CAIRN_ASSERT(n <= k_most_ranges, "too many ranges for one call");
    if (!takes_ranges_.load(std::memory_order_relaxed)) return 0;
    keep_errno keep;
    iovec each[k_most_ranges];
    for (std::size_t i = 0; i < n; ++i) each[i] = {ranges[i].address, ranges[i].bytes};
    const long done = ::syscall(SYS_process_madvise, k_pidfd_self, each, n, advice, 0u);
    if (done < 0) {
      // Else the kernel does not know the call, a filter refuses it, or the pages are locked (mlockall).
      const bool may_pass = errno == EAGAIN || errno == ENOMEM || errno == EINTR;
      if (!may_pass) takes_ranges_.store(false, std::memory_order_relaxed);
      return 0;
    }
    std::size_t whole = 0;
    for (auto rest = static_cast<std::size_t>(done); whole < n && rest >= ranges[whole].bytes; ++whole)
      rest -= ranges[whole].bytes;
    return whole;
  }

  // The first number of /proc/self/statm, in pages. 0 when it cannot be read: then only the limit itself
  // counts.
  std::size_t address_space_used() const noexcept {
    char text[64];
    const ssize_t length = file("/proc/self/statm").read(text, sizeof text);
    std::size_t pages = 0;
    for (ssize_t i = 0; i < length && text[i] >= '0' && text[i] <= '9'; ++i) {
      pages = pages * 10 + static_cast<std::size_t>(text[i] - '0');
    }
    return pages * physical_page_bytes();
  }

  mutable std::atomic<std::size_t> page_bytes_{0};
  std::atomic<bool> takes_ranges_{true};  // relaxed: whoever finds out stores the same
};

constinit linux_os g_linux;
// Written by set_os, before the heap exists.
constinit os* g_os = &g_linux;

// ThreadSanitizer knows two ranges for mappings and ends the process over others, AddressSanitizer's shadow
// covers the place: there the kernel chooses.
constexpr std::uintptr_t k_hints[] = {0x1d00'8400'0000, 0x1b00'8400'0000, 0x1700'8400'0000};
constexpr bool k_use_hints = sizeof(void*) == 8 && !CAIRN_TSAN && !CAIRN_ASAN;
constexpr std::size_t k_sanitizer_cap_bytes = CAIRN_TSAN   ? std::size_t{64} << 30
                                              : CAIRN_ASAN ? std::size_t{256} << 30
                                                           : SIZE_MAX;

// At a hint if one of them is free, else where the system likes.
void* reserve_near_hints(std::size_t bytes) noexcept {
  void* p = nullptr;
  for (std::uintptr_t hint : k_hints) {
    if (!k_use_hints) break;
    void* wanted = reinterpret_cast<void*>(hint);
    p = the_os().reserve(bytes, k_arena_bytes, wanted);
    if (p == nullptr || p == wanted) return p;
    the_os().release(p, bytes);
  }
  return the_os().reserve(bytes, k_arena_bytes, nullptr);
}

}  // namespace

os& the_os() noexcept { return *g_os; }

void set_os(os* replacement) noexcept { g_os = replacement != nullptr ? replacement : &g_linux; }

reservation reserve_heap(std::size_t wanted) noexcept {
  const std::size_t share = the_os().address_space_left() / 2;
  for (std::size_t bytes = wanted; bytes >= k_arena_bytes; bytes /= 2) {
    if (bytes > k_sanitizer_cap_bytes) continue;
    if (bytes > share && bytes != k_arena_bytes) continue;
    if (void* base = reserve_near_hints(bytes)) return {base, bytes};
  }
  return {};
}

}  // namespace cairn::heap
