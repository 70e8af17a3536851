// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// goroutine_leaks(): a collection, so that what is dead has its finalizers and destructors queued and weak
// references cleared; then the trace of gc/leak_trace.h; then a look at those that it has found, who stand
// where they are for ever.
#include <algorithm>
#include <new>
#include <system_error>

#include "cairn/goroutine_info.h"
#include "gc/cycle.h"
#include "gc/leak_trace.h"
#include "gc/roots.h"
#include "gc/runtime.h"
#include "heap/mheap.h"
#include "sched/goroutine.h"
#include "sched/handshake.h"
#include "sched/proc.h"

namespace cairn::gc {
namespace {

struct request {
  goroutine_list found;
  trace_result result = trace_result::no_memory;
};

void trace_stopped(void* p) {
  auto& wanted = *static_cast<request*>(p);
  const sched::world_stopped stopped = sched::stop_the_world("goroutine_leaks");
  sched::for_each_m(stopped, [](sched::m& thread) { heap::sweep_cached(thread, heap::the_heap.sweepgen()); });
  leak_trace trace;
  wanted.result = trace.run(stopped, wanted.found);
}

// The caller's registers are spilled.
void trace(void* wanted) {
  const cycle_guard guard;
  finish_sweep();
  with_loaded_objects(trace_stopped, wanted);
}

}  // namespace
}  // namespace cairn::gc

namespace cairn {

std::vector<goroutine_info> goroutine_leaks() {
  gc::force_cycle("goroutine_leaks");
  sched::check_ending();
  gc::request wanted;
  sched::spill_and_call(*sched::current(), gc::trace, &wanted);
  sched::regain_p();
  sched::check_ending();
  if (wanted.result == gc::trace_result::no_memory) throw std::bad_alloc();
  if (wanted.result == gc::trace_result::cannot_read)
    throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory),
                            "goroutine_leaks: the process cannot read its memory through /proc/self");
  std::vector<goroutine_info> leaked = sched::look_at_each({wanted.found.begin(), wanted.found.size()});
  std::sort(leaked.begin(), leaked.end(),
            [](const goroutine_info& a, const goroutine_info& b) { return a.id < b.id; });
  return leaked;
}

}  // namespace cairn
