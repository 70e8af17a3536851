// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/traceback.h"

#include <cxxabi.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string_view>

#include "heap/metadata.h"
#include "heap/os.h"
#include "sched/futex.h"
#include "sched/m.h"
#include "sched/message.h"
#include "sched/records.h"
#include "sched/symbols.h"

namespace cairn::sched::traceback {
namespace {

constexpr std::size_t k_most_frames = 100;

// What nobody wants to see: how the library calls and parks goroutines.
bool is_inside(std::string_view name) noexcept {
  for (std::string_view own :
       {"_ZN5cairn5sched", "_ZNK5cairn5sched", "_ZZN5cairn5sched", "_ZN5cairn2gc", "_ZN5cairn4heap",
        "cairn_context_entry", "cairn_call_to_the_end", "cairn_left_goroutine", "_Unwind_", "__restore_rt"})
    if (name.substr(0, own.size()) == own) return true;
  return false;
}

void add_name(message& line, const symbol& s) noexcept {
  if (s.name.empty()) {
    line << "?";
    return;
  }
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the tables' names end in zeros
  char* demangled = abi::__cxa_demangle(s.name.data(), nullptr, nullptr, nullptr);
  std::string_view name = demangled != nullptr ? std::string_view(demangled) : s.name;
  // A part of the function that the compiler has put elsewhere, because it is cold or specialised, is the function.
  if (const std::size_t clone = name.find(" [clone"); clone != std::string_view::npos)
    name = name.substr(0, clone);
  line << name;
  std::free(demangled);
}

void add_place(message& line, const symbol& s, const void* address) noexcept {
  line << "\t";
  if (s.module != nullptr) line << s.module << "(+" << hexadecimal{s.in_module} << ")";
  else line << hexadecimal{reinterpret_cast<std::uintptr_t>(address)};
  if (!s.name.empty()) line << " +" << hexadecimal{s.in_function};
  line << "\n";
}

// `address` lies in the call, or after it.
symbol symbol_of_call(const void* address) noexcept {
  return find_symbol(static_cast<const char*>(address) - 1);
}

void print_frame(const void* address, const symbol& s) noexcept {
  message name;
  add_name(name, s);
  (name << "\n").send();
  message place;
  add_place(place, s, address);
  place.send();
}

void print_creator(const sighting& seen) noexcept {
  if (seen.created_at == nullptr) return;
  const symbol s = symbol_of_call(seen.created_at);
  message line;
  line << "created by ";
  add_name(line, s);
  if (seen.creator != 0) line << " in goroutine " << seen.creator;
  (line << "\n").send();
  message place;
  add_place(place, s, seen.created_at);
  place.send();
}

void add_heading(message& line, const sighting& seen, std::int64_t now) noexcept {
  constexpr std::int64_t k_minute = 60'000'000'000;
  const bool waits = seen.doing == activity::waiting;
  line << "goroutine " << seen.id << " [" << (waits ? name_of(seen.why) : name_of(seen.doing));
  if (seen.is_leaked) line << " (leaked)";
  if ((waits || seen.doing == activity::syscall) && seen.since != 0 && now - seen.since >= k_minute)
    line << ", " << (now - seen.since) / k_minute << " minutes";
  if (seen.is_locked) line << ", locked to thread";
  line << "]";
}

}  // namespace

memory::~memory() { give_back(); }

void memory::give_back() noexcept {
  if (bytes_ == nullptr) return;
  heap::the_os().release(bytes_, capacity_);
  heap::metadata_note(-static_cast<std::ptrdiff_t>(capacity_));
}

bool memory::grow(std::size_t wanted) noexcept {
  constexpr std::size_t k_unit = std::size_t{64} << 10;  // the largest physical page there is
  wanted = (wanted + k_unit - 1) / k_unit * k_unit;
  if (wanted <= capacity_) return true;
  void* made = heap::the_os().map(wanted);
  if (made == nullptr) return false;
  heap::metadata_note(static_cast<std::ptrdiff_t>(wanted));
  give_back();
  bytes_ = static_cast<char*>(made);
  capacity_ = wanted;
  return true;
}

namespace {

// The thread that is at it. Relaxed: whoever comes second waits for the process to end.
std::atomic<pid_t> reporter{0};

pid_t thread_id() noexcept { return static_cast<pid_t>(syscall(SYS_gettid)); }

}  // namespace

bool begin_last_report() noexcept {
  pid_t none = 0;
  return reporter.compare_exchange_strong(none, thread_id(), std::memory_order_relaxed);
}

void await_last_report() noexcept {
  constexpr std::int64_t k_patience_ns = 10'000'000'000;
  const pid_t by = reporter.load(std::memory_order_relaxed);
  if (by == 0 || by == thread_id() || in_forked_child()) return;
  std::atomic<std::uint32_t> never{0};
  for (const std::int64_t until = now_ns() + k_patience_ns; now_ns() < until;) futex_wait(never, 0, until);
  _exit(2);
}

void print_heading(const sighting& seen, std::int64_t now) noexcept {
  message line;
  add_heading(line, seen, now);
  (line << "\n").send();
}

void print(const sighting& seen, stack_image& stack, std::int64_t now) noexcept {
  message line;
  add_heading(line, seen, now);
  (line << ":\n").send();
  void* frames[k_most_frames + 1];
  std::size_t n = 0;
  if (stack.size != 0 && stack.size <= stack.capacity)
    n = unwind(stack, seen.is_interrupted, frames, k_most_frames + 1);
  if (seen.begins_with != nullptr) {
    const symbol s = find_symbol(seen.begins_with);
    print_frame(seen.begins_with, s);
  } else if (n == 0) {
    (message() << "\tgoroutine running on other thread; stack unavailable\n").send();
  }
  const auto is_hidden = [](const void* frame) { return is_inside(symbol_of_call(frame).name); };
  const bool hides = !std::all_of(frames, frames + n,
                                  is_hidden);  // where all that calls is calls last, there is nothing else
  for (std::size_t i = 0; i < std::min(n, k_most_frames); ++i)
    if (!hides || !is_hidden(frames[i])) print_frame(frames[i], symbol_of_call(frames[i]));
  if (n > k_most_frames) (message() << "...additional frames elided...\n").send();
  print_creator(seen);
  (message() << "\n").send();
}

std::size_t print_standing(std::size_t most) noexcept {
  memory copies;
  copies.grow(1);
  std::size_t n = 0;
  records::for_each([&](goroutine& g) {
    sighting seen;
    stack_image stack = copies.image();
    look result = look_at(g, seen, stack);
    if (result == look::too_big) {
      const bool grown = copies.grow(stack.size);
      stack = copies.image();
      if (grown) result = look_at(g, seen, stack);
    }
    if (result == look::gone || result == look::runs || n++ >= most) return;
    print(seen, stack, now_ns());
  });
  return n > most ? n - most : 0;
}

}  // namespace cairn::sched::traceback
