// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/scout.h.
#include "gc/scout.h"

#include <utility>

#include "gc/fields.h"
#include "heap/delay.h"

namespace cairn::gc {

using heap::g_space;

namespace {

constexpr unsigned k_most_unnoted = 4'096;  // in a row: it goes round a ring

// One of 32 objects, always the same ones.
constexpr std::uint64_t spread(std::uintptr_t at) noexcept { return (at >> 3) * 0x9e3779b97f4a7c15; }
constexpr bool is_noted(std::uint64_t spread) noexcept { return spread >> 59 == 0; }

work_buf* link_of(const work_buf* b) noexcept {
  return static_cast<work_buf*>(b->next.load(std::memory_order_relaxed));
}

// Objects that can be links of a list.
bool can_be_followed(heap::page_info info) noexcept {
  return info.in_use() && is_masked(info.span_class()) && !detail::is_noscan_class(info.span_class());
}

}  // namespace

std::uint64_t scout::random() noexcept {
  seed_ ^= seed_ << 13;
  seed_ ^= seed_ >> 7;
  return seed_ ^= seed_ << 17;
}

// What was noted in vain must not be in the way for good, and what that is nobody knows.
void scout::make_room() noexcept {
  if (n_ == 0 || (n_ < k_trails && buffers_ < k_most_buffers)) return;
  trail& t = ended_[random() % n_];
  drop(t);
  t = ended_[--n_];
}

// A new start. False: not this time.
bool scout::begin(list& l) noexcept {
  const std::size_t pages = g_space.committed_pages();
  if (pages == 0) return false;
  const std::size_t page = (random() >> 16) % pages;
  if (!can_be_followed(g_space.info_of(page))) return false;
  heap::object_ref o;
  if (!heap::find_object(g_space.page_address(page) + (random() >> 16) % detail::k_page_bytes, o))
    return false;
  if (!heap::is_allocated(o) || heap::is_marked(o)) return false;
  make_room();
  l = {o.base, 0, 0, {&g_space.group_of(o.first, o.index), heap::bit_of(o.index), nullptr}};
  __builtin_prefetch(reinterpret_cast<const void*>(o.base));
  return true;
}

// Goes to the next object, if the one at hand has one pointer but for the one back and those to what has none itself.
CAIRN_SCANS bool scout::step(list& l) noexcept {
  heap::object_ref o;
  // A word that only looks like a pointer may lead to a free slot, and what that held is garbage.
  if (!heap::find_object(l.at, o) || !is_masked(o.span_class) || !heap::is_allocated(o)) return false;
  std::uintptr_t found[64], next = 0;
  const std::size_t limit = g_space.committed.load(std::memory_order_relaxed);
  const std::uintptr_t* end = push_masked(found, o.base, mask_of(o.first, o.span_class), g_space.base, limit);
  for (const std::uintptr_t* p = found; p != end; ++p) {
    if (*p == l.before || !can_be_followed(g_space.info_of(g_space.page_of(*p)))) continue;
    if (next != 0) return false;
    next = *p;
  }
  __builtin_prefetch(reinterpret_cast<const void*>(next));
  l.before = o.base;
  l.at = next;
  return next != 0 && ++l.unnoted < k_most_unnoted;
}

bool scout::add(trail& t, std::uintptr_t at) noexcept {
  if (t.notes == nullptr || t.notes->n == work_buf::k_entries) {
    work_buf* b = buffers_ < k_most_buffers ? pool_.take_empty() : nullptr;
    if (b == nullptr) return false;
    ++buffers_;
    b->next.store(t.notes, std::memory_order_relaxed);
    t.notes = b;
  }
  t.notes->entries[t.notes->n++] = at;
  return true;
}

// False: the list has been followed from here on, or need not be.
bool scout::note(list& l) noexcept {
  heap::object_ref o;
  if (!heap::find_object(l.at, o) || !heap::is_allocated(o) || heap::is_marked(o)) return false;
  const auto name = static_cast<std::uint32_t>(l.at >> 3);
  if (std::exchange(noted_[spread(l.at) >> 40 & (k_table - 1)], name) == name) return false;
  l.unnoted = 0;
  return add(l.notes, l.at);
}

void scout::advance() noexcept {
  used_ = true;
  for (list& l : lists_) {
    if (l.at == 0 && !begin(l)) continue;
    if ((is_noted(spread(l.at)) && !note(l)) || !step(l)) end(l);
  }
}

// What was noted is kept if it is worth it.
void scout::end(list& l) noexcept {
  constexpr std::size_t k_least_notes = 16;
  l.at = 0;
  work_buf* b = l.notes.notes;
  if (b == nullptr || n_ == k_trails || (link_of(b) == nullptr && b->n < k_least_notes)) drop(l.notes);
  else ended_[n_++] = std::exchange(l.notes, {});
}

void scout::drop(trail& t) noexcept {
  for (work_buf* b = t.notes; b != nullptr; --buffers_) pool_.give_empty(std::exchange(b, link_of(b)));
  t = {};
}

bool scout::has_reached() noexcept {
  if (!used_) return false;
  for (list& l : lists_)
    if (l.notes.reached()) return reached_ = &l.notes, true;
  for (unsigned i = 0; i < n_; ++i)
    if (ended_[i].reached()) return reached_ = &ended_[i], true;
  return false;
}

work_buf* scout::take() noexcept {
  heap::maybe_delay("scout.reached");
  for (list& l : lists_)
    if (reached_ == &l.notes) add(l.notes, std::exchange(l.at, 0));  // from where it is, too
  work_buf* b = std::exchange(*reached_, {}).notes;
  if (reached_ >= ended_ && reached_ < ended_ + k_trails) *reached_ = ended_[--n_];
  if (b == nullptr) return nullptr;
  buffers_ -= 1;
  for (work_buf* more = link_of(b); more != nullptr; --buffers_)
    pool_.put_full(std::exchange(more, link_of(more)));
  return b;
}

void scout::forget() noexcept {
  for (list& l : lists_) {
    l.at = 0;
    drop(l.notes);
  }
  while (n_ != 0) drop(ended_[--n_]);
  for (std::uint32_t& name : noted_) name = 0;
  used_ = false;
}

}  // namespace cairn::gc
