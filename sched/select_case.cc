// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Select over cases that are put together at run time.
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>

#include "cairn/select.h"

namespace cairn {
namespace {

using detail::any_case;
using detail::chan_case;

// Where a frame lies that comes after `from` bytes of others.
std::size_t frame_start(const any_case& k, std::size_t from) noexcept {
  const std::size_t align = k.ops->frame_align;
  return (from + align - 1) / align * align;
}

// What one select needs for each of its cases: the case, the communication if it is one, and a frame. On the stack if
// that is enough, else in an object whose every word is looked at.
class workplace {
 public:
  template <class CaseAt>
  workplace(std::size_t n, CaseAt case_at) : n_(n) {
    std::size_t bytes = n * (sizeof(entry) + sizeof(chan_case));
    for (std::size_t i = 0; i < n; ++i)
      bytes = frame_start(*case_at(i), bytes) + case_at(i)->ops->frame_bytes;
    memory_ = bytes <= sizeof own_ ? own_ : static_cast<std::byte*>(detail::allocate_closure(bytes, k_align));
    list_ = reinterpret_cast<chan_case*>(memory_ + n * sizeof(entry));
    std::size_t end = n * (sizeof(entry) + sizeof(chan_case));
    for (std::size_t i = 0; i < n; ++i) {
      any_case* const k = case_at(i);
      const std::size_t start = frame_start(*k, end);
      end = start + k->ops->frame_bytes;
      ::new (&entry_at(i)) entry{k, memory_ + start, k_not_made};
    }
  }
  ~workplace() { end_frames(); }
  workplace(const workplace&) = delete;
  workplace& operator=(const workplace&) = delete;

  // Makes all frames; those of the communications are list()[0 .. the result).
  std::size_t prepare() {
    std::size_t live = 0;
    for (std::size_t i = 0; i < n_; ++i) {
      entry& e = entry_at(i);
      const bool is_default = e.held->ops->is_default;
      chan_case& k = *::new (&list_[live]) chan_case;
      e.held->ops->prepare(*e.held, e.frame, k);
      e.index = is_default ? k_default : live++;
    }
    return live;
  }
  chan_case* list() noexcept { return list_; }
  // The case that select_cases has found: the index of list(), or anything beyond for the default.
  std::size_t find(std::size_t index, std::size_t live) noexcept {
    std::size_t i = 0;
    while (entry_at(i).index != (index < live ? index : k_default)) ++i;
    return i;
  }
  bool finish(std::size_t i, detail::chan_status status) {
    entry& e = entry_at(i);
    return e.held->ops->finish(*e.held, e.frame, status);
  }
  void end_frames() noexcept {
    for (std::size_t i = 0; i < n_; ++i) {
      entry& e = entry_at(i);
      if (e.index != k_not_made) e.held->ops->end(e.frame);
      e.index = k_not_made;
    }
  }

 private:
  static constexpr std::size_t k_align = 64, k_not_made = SIZE_MAX, k_default = SIZE_MAX - 1;
  struct entry {
    any_case* held;  // kept alive from here, whatever a handler does with the caller's
    std::byte* frame;
    std::size_t index;
  };
  entry& entry_at(std::size_t i) noexcept { return reinterpret_cast<entry*>(memory_)[i]; }

  const std::size_t n_;
  alignas(k_align) std::byte own_[1024];
  std::byte* memory_;
  chan_case* list_;
};

}  // namespace

int select(std::span<select_case> cases) {
  std::size_t defaults = 0;
  for (const select_case& k : cases) defaults += k.case_->ops->is_default;
  if (defaults > 1) throw std::invalid_argument("select: more than one on_default");
  workplace work(cases.size(), [cases](std::size_t i) { return cases[i].case_.get(); });
  for (;;) {
    const std::size_t live = work.prepare();
    const detail::selected s = detail::select_cases(work.list(), live, defaults != 0);
    const std::size_t at = work.find(s.index, live);
    if (work.finish(at, s.status)) return static_cast<int>(at);
    work.end_frames();
  }
}

}  // namespace cairn
