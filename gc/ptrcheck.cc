// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// ptrcheck=1 and the question where a gc_ptr may live. See gc/ptrcheck.h.
#include "gc/ptrcheck.h"

#include "gc/roots.h"
#include "gc/runtime.h"
#include "heap/fatal.h"
#include "heap/mspan.h"
#include "heap/space.h"

namespace cairn::gc {

void check_location(const void* slot, const void* value, const char* type) noexcept {
  if (!heap::g_space.contains(reinterpret_cast<std::uintptr_t>(value))) return;
  const sched::m* self = sched::current();
  if (self == nullptr)
    heap::fatal_error(
        "ptrcheck: a gc_ptr<{}> at {} was assigned by a thread that is not attached; the collector does not "
        "see its "
        "stack: construct a cairn::attach_thread first",
        type, slot);
  if (heap::g_space.contains(reinterpret_cast<std::uintptr_t>(slot))) return;
  if (slot >= self->stack_low && slot < self->stack_high) return;
  if (root_slots::owns(slot)) return;
  if (is_static_root(slot) || is_other_stack(slot)) return;
  heap::fatal_error(
      "ptrcheck: a gc_ptr<{}> lives at {}, which the collector does not scan (malloc memory?); it points to "
      "{}: use "
      "cairn::root<T> there, or cairn::vector",
      type, slot, value);
}

void check_value(const void* slot, const void* value, const char* type) noexcept {
  const auto a = reinterpret_cast<std::uintptr_t>(value);
  if (!heap::g_space.contains(a)) return;
  heap::object_ref o;
  auto is_allocated = [&o] { return heap::is_allocated(o); };
  if (heap::find_object(a, o) && is_allocated()) return;
  // One past the end of an array is the next slot, or the span's end.
  if (heap::find_object(a - 1, o) && is_allocated()) {
    const heap::mspan* s = heap::g_space.span_at(o.first);
    if (o.base + s->elem_bytes == a && s->has_array.load(std::memory_order_relaxed) != 0) return;
  }
  heap::fatal_error(
      "invalidptr: the gc_ptr<{}> at {} was given {}, where no object is allocated: it was freed while "
      "something outside "
      "the collector's sight still pointed to it (ptrcheck=1 finds such places)",
      type, slot, value);
}

}  // namespace cairn::gc
