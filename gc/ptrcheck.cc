// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// ptrcheck=1 and the question where a gc_ptr may live. See gc/ptrcheck.h.
#include "gc/ptrcheck.h"

#include "gc/roots.h"
#include "gc/runtime.h"
#include "heap/fatal.h"
#include "heap/space.h"

namespace cairn::gc {

void check_location(const void* slot, const void* value, const char* type) noexcept {
  if (!heap::g_space.contains(reinterpret_cast<std::uintptr_t>(value))) return;
  if (heap::g_space.contains(reinterpret_cast<std::uintptr_t>(slot))) return;
  const sched::m* self = sched::current();
  if (self == nullptr)
    heap::fatal_error(
        "ptrcheck: a gc_ptr<{}> at {} was assigned by a thread that is not attached; the collector does not see its "
        "stack: construct a cairn::attach_thread first",
        type, slot);
  if (slot >= self->stack_low && slot < self->stack_high) return;
  if (is_static_root(slot) || is_other_stack(slot)) return;
  heap::fatal_error(
      "ptrcheck: a gc_ptr<{}> lives at {}, which the collector does not scan (malloc memory?); it points to {}: use "
      "cairn::root<T> there, or cairn::vector",
      type, slot, value);
}

}  // namespace cairn::gc
