// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/uncaught.h"

#include <cxxabi.h>
#include <unistd.h>
#include <unwind.h>

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <typeinfo>

#include "cairn/detail/entry.h"
#include "sched/futex.h"
#include "sched/inspect.h"
#include "sched/message.h"
#include "sched/registry.h"
#include "sched/traceback.h"

static_assert(offsetof(cairn::detail::closure, run) == 0, "uncaught_frame.S calls what it finds there");

extern "C" void cairn_call_to_the_end(cairn::detail::closure* function);

namespace cairn::sched {
namespace {

// Of the exception that is being handled; null if it is not C++'s. In two pieces: what() is the program's, and may wait
// for a lock that a frame of the stack that threw holds.
void say_what_left(const goroutine& g, const std::type_info* type) noexcept {
  message text;
  text << "cairn: an exception left goroutine " << g.id;
  if (type == nullptr) return (text << "\n").send();
  char* name = abi::__cxa_demangle(type->name(), nullptr, nullptr, nullptr);
  text << ", of type " << (name != nullptr ? name : type->name());
  std::free(name);
  text.send();
  message rest;
  try {
    throw;
  } catch (const std::exception& e) {
    rest << ": " << e.what();
  } catch (...) {
  }
  (rest << "\n").send();
}

// This thread's, which is at depth 0.
[[gnu::noinline]] void print_own_stack(const goroutine& g) noexcept {
  sighting seen;
  if (!look_from_afar(g, seen)) return;
  seen.doing = activity::running;
  position here;
  CAIRN_POSITION_HERE(here);
  const auto* sp = static_cast<const char*>(here.sp);
  traceback::memory copies;
  if (sp < g.self.low || sp >= g.self.high || !copies.grow(static_cast<std::size_t>(g.self.high - sp)))
    return;
  stack_image stack = copies.image();
  copy_stack(stack, here, g.self.low, g.self.high);
  (message() << "\n").send();
  traceback::print(seen, stack, now_ns());
}

// "C++" precedes the last byte of the classes of all of its runtimes.
bool is_cxx(_Unwind_Exception_Class of) noexcept { return (of >> 8 & 0xffffff) == 0x432b2b; }

[[noreturn, gnu::cold]] void end_with(const goroutine& g, _Unwind_Exception_Class of,
                                      _Unwind_Exception* exception) noexcept {
  if (!traceback::begin_last_report())
    while (true) pause();
  const bool cxx = is_cxx(of);
  if (cxx) abi::__cxa_begin_catch(exception);  // as the runtime does before std::terminate
  // Of another class: what is being handled is the exception of a handler that this one was raised in.
  say_what_left(g, cxx ? abi::__cxa_current_exception_type() : nullptr);
  print_own_stack(g);
  _exit(2);
}

}  // namespace

void call_to_the_end(goroutine& g) { cairn_call_to_the_end(g.function); }

void report_uncaught(const goroutine& g) noexcept {
  say_what_left(g, abi::__cxa_current_exception_type());
  _exit(2);
}

}  // namespace cairn::sched

extern "C" [[gnu::visibility("hidden")]] _Unwind_Reason_Code cairn_left_goroutine(
    int, _Unwind_Action actions, _Unwind_Exception_Class of, _Unwind_Exception* exception, _Unwind_Context*) {
  using namespace cairn::sched;
  if ((actions & _UA_SEARCH_PHASE) != 0) {
    const m* self = current();
    const goroutine* g = self != nullptr ? own_goroutine(*self) : nullptr;
    if (g != nullptr && !g->exiting) end_with(*g, of, exception);
  }
  return _URC_CONTINUE_UNWIND;
}
