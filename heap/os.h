// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The contract for every call that gets memory from the operating system or returns it. Linux implements it
// in heap/os_linux.cc; tests put tests/heap/fake_os.h in its place, to make calls fail and to check the
// preconditions.
//
// Every function may be called anywhere: inside runtime sections, in a signal handler, while the world is
// stopped. None allocates, takes a lock or changes errno. Addresses and sizes are multiples of
// physical_page_bytes(), and sizes are not zero, unless said otherwise.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cairn::heap {

inline constexpr std::size_t k_arena_bytes = std::size_t{64} << 20;
inline constexpr std::size_t k_huge_page_bytes = std::size_t{2} << 20;

enum class huge_pages : std::uint8_t { no, yes };

// How the system made a guard: not at all, by a mark on its pages, or by splitting the mapping, which costs up
// to two of the mappings that a process may have.
enum class guard_kind : std::uint8_t { none, marked, split };

struct range {
  void* address;
  std::size_t bytes;
};
// The most that one call takes.
inline constexpr std::size_t k_most_ranges = 64;

class os {
 public:
  // Address space and nothing else: no access, no commit charge. `align` is a power of two, a multiple of the
  // physical page; `hint` is where it would best lie, a multiple of `align`, or null. Null when the address
  // space is refused.
  [[nodiscard]] virtual void* reserve(std::size_t bytes, std::size_t align, void* hint) noexcept = 0;

  // Pre: the range lies in one reservation. Post, when true: it can be read and written; what was not
  // committed before is zero, what was is as it was. When false: nothing changed.
  [[nodiscard]] virtual bool commit(void* address, std::size_t bytes) noexcept = 0;

  // Pre: the range is committed. Post, when true: it stays committed, its memory is returned, it reads as
  // zero. When false: part of it may have been returned; nobody may rely on its contents.
  virtual bool give_back(void* address, std::size_t bytes) noexcept = 0;

  // Pre: the range lies in one reservation or one mapping. Post: its addresses are no longer ours.
  virtual void release(void* address, std::size_t bytes) noexcept = 0;

  // Committed zero memory outside any reservation, for metadata. Null when refused. Undone by release.
  [[nodiscard]] virtual void* map(std::size_t bytes) noexcept = 0;

  // Pre: the range is committed. Only advice: no effect on contents, and no error.
  virtual void advise(void* address, std::size_t bytes, huge_pages wanted) noexcept = 0;

  // Pre: the range is committed. Post, unless none: its contents are gone and each access faults, until
  // release; a later give_back of a range around it leaves it so. When none: nothing changed. Without
  // `may_split` only marks are tried.
  [[nodiscard]] virtual guard_kind guard(void* address, std::size_t bytes, bool may_split) noexcept = 0;

  // As guard, by marks alone, for several ranges in one call of the system. Returns how many have theirs, the first
  // ones: 0 where the system has no such call.
  [[nodiscard]] virtual std::size_t guard_marks(const range* ranges, std::size_t n) noexcept = 0;

  // Pre: the ranges are committed. Takes guard_marks off again: what had one reads as zero, what had none stays as it
  // is. So a give_back of all that a page table describes returns that, too, where the system does so (Linux 6.14).
  // Whether it has worked is not told.
  virtual void unmark(const range* ranges, std::size_t n) noexcept = 0;

  // Pre: the ranges are committed. Post, when true: all of their pages have memory, as after a write to each. No effect
  // on contents. False where the system has no call for several ranges: for one a write costs as much.
  virtual bool populate(const range* ranges, std::size_t n) noexcept = 0;

  // A power of two.
  [[nodiscard]] virtual std::size_t physical_page_bytes() const noexcept = 0;

  // How much more address space the process may take, SIZE_MAX when it is not limited. Reads a file: start-up
  // only.
  [[nodiscard]] virtual std::size_t address_space_left() const noexcept = 0;

 protected:
  ~os() = default;
};

[[nodiscard]] os& the_os() noexcept;
// Tests only, while nothing of the heap exists; null brings Linux back.
void set_os(os* replacement) noexcept;

struct reservation {
  void* base = nullptr;  // a multiple of k_arena_bytes; null when not even the smallest size was to be had
  std::size_t bytes = 0;
};

inline constexpr std::size_t k_largest_heap_bytes = std::size_t{1} << 40;

// Address space for the heap: `wanted` bytes (a power of two of at least k_arena_bytes), halved until the
// system grants it. It takes at most half of what a limit leaves, so that stacks and the program's own
// mallocs keep a share; the smallest size, one arena, is tried even beyond that. Sanitizers cap `wanted`: 64
// GiB with TSan, 256 GiB with ASan.
[[nodiscard]] reservation reserve_heap(std::size_t wanted = k_largest_heap_bytes) noexcept;

}  // namespace cairn::heap
