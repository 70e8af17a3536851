// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/options.h.
#include "gc/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fmt/format.h>
#include <unistd.h>

#include "gc/cpu_count.h"
#include "heap/fatal.h"

namespace cairn::gc {
namespace {

constexpr std::size_t k_smallest_stack = std::size_t{16} << 10;
constexpr std::size_t k_largest_stack = std::size_t{64} << 30;
constexpr std::int64_t k_int_max = 2'147'483'647;

constexpr setting k_settings[] = {
    {"CAIRNGC", "100", "how far the heap may grow beyond what is live, in percent; `off`: without end", false},
    {"CAIRNMEMLIMIT", "off", "soft limit on all memory that the runtime maps, a size; `off`: none", false},
    {"CAIRNMAXPROCS", "the CPUs this process may use", "how many goroutines may run at once, at least 1",
     false},
    {"CAIRNSTACK", "256KiB",
     "address space of a goroutine's stack, a size from 16KiB to 64GiB, committed on touch", false},
    {"CAIRNSIGNAL", "URG", "the signal that stops threads for the collector, a name or a number", false},
    {"CAIRNDEBUG", "", "a list of `name=value,...` of the settings below", false},
    {"gctrace", "0", "1: one line on standard error for every cycle", true},
    {"schedtrace", "0", "N: a line about the scheduler on standard error every N milliseconds", true},
    {"scheddetail", "0", "1: schedtrace also lists every P, M and goroutine", true},
    {"gcpacertrace", "0", "1: what the pacer measured and decided, for every cycle", true},
    {"ptrcheck", "0",
     "1: report a gc_ptr that lies where the collector does not look, or is stored by an unattached thread",
     true},
    {"clobberfree", "0", "1: fill objects with 0xdeadbeef when they are freed", true},
    {"gccheckmark", "0", "1: stop the world after every mark and check that it missed nothing", true},
    {"gcstoptheworld", "0", "1: run the whole cycle with the world stopped", true},
    {"invalidptr", "0", "1: abort when a gc_ptr into a free slot is found", true},
    {"check", "0", "assertions: 1 cheap ones, 2 on every operation, 3 whole structures after every phase",
     true},
    {"delay", "0", "in how many of 1000 places the runtime's protocols wait a random short time", true},
    {"seed", "chosen at start", "of those delays; fatal errors print it", true},
};

struct debug_field {
  std::string_view name;
  std::int64_t debug_options::*field;
  std::int64_t largest;
};

constexpr debug_field k_debug_fields[] = {
    {"gctrace", &debug_options::gctrace, 1},         {"schedtrace", &debug_options::schedtrace, k_int_max},
    {"scheddetail", &debug_options::scheddetail, 1}, {"gcpacertrace", &debug_options::gcpacertrace, 1},
    {"ptrcheck", &debug_options::ptrcheck, 1},       {"clobberfree", &debug_options::clobberfree, 1},
    {"gccheckmark", &debug_options::gccheckmark, 1}, {"gcstoptheworld", &debug_options::gcstoptheworld, 1},
    {"invalidptr", &debug_options::invalidptr, 1},   {"check", &debug_options::check, 3},
    {"delay", &debug_options::delay, 1000},          {"seed", &debug_options::seed, INT64_MAX},
};

// Decimal digits and nothing else.
std::optional<std::int64_t> parse_number(std::string_view text, std::int64_t smallest, std::int64_t largest) {
  std::int64_t value = 0;
  if (text.empty() || text[0] == '-') return {};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  if (value < smallest || value > largest) return {};
  return value;
}

std::optional<int> parse_percent(std::string_view text) {
  if (text == "off") return -1;
  auto value = parse_number(text, 0, k_int_max);
  if (!value) return {};
  return static_cast<int>(*value);
}

std::optional<std::size_t> parse_limit(std::string_view text) {
  if (text == "off") return SIZE_MAX;
  return parse_size(text);
}

std::optional<std::size_t> parse_stack(std::string_view text) {
  auto size = parse_size(text);
  if (!size || *size < k_smallest_stack || *size > k_largest_stack) return {};
  return size;
}

std::optional<int> parse_procs(std::string_view text) {
  auto value = parse_number(text, 1, 1 << 20);
  if (!value) return {};
  return static_cast<int>(*value);
}

// Faults come from the instruction itself, SIGKILL and SIGSTOP cannot be caught, SIGQUIT prints the
// goroutines, and 32 and 33 belong to the C library.
bool is_usable_signal(int number) {
  for (int taken :
       {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGKILL, SIGSTOP, SIGQUIT, SIGABRT, 32, 33})
    if (number == taken) return false;
  return number >= 1 && number <= SIGRTMAX;
}

// "10", "URG", "SIGURG", "RTMIN", "RTMIN+3".
std::optional<int> parse_signal(std::string_view text) {
  int number = 0;
  if (text.substr(0, 3) == "SIG") text.remove_prefix(3);
  if (auto value = parse_number(text, 1, 64)) {
    number = static_cast<int>(*value);
  } else if (text == "RTMIN") {
    number = SIGRTMIN;
  } else if (text.substr(0, 6) == "RTMIN+") {
    auto offset = parse_number(text.substr(6), 0, SIGRTMAX - SIGRTMIN);
    if (offset) number = SIGRTMIN + static_cast<int>(*offset);
  } else {
    for (int s = 1; s < 32; ++s)
      if (const char* name = sigabbrev_np(s); name != nullptr && text == name) number = s;
  }
  if (!is_usable_signal(number)) return {};
  return number;
}

class parser {
 public:
  parser(const variable_lookup& lookup, parsed_options& out) : lookup_(lookup), out_(out) {}

  // `parse` gives nothing for what does not parse; then `field` keeps its default.
  template <class T, class Parse>
  void variable(const char* name, T& field, Parse parse, const char* expected) {
    auto text = lookup_(name);
    if (!text || text->empty()) return;
    if (auto value = parse(*text)) {
      field = *value;
    } else {
      complain("{}={}: expected {}; using the default, {}", name, *text, expected, default_of(name));
    }
  }

  void debug_list() {
    auto text = lookup_("CAIRNDEBUG");
    if (!text) return;
    std::string_view rest = *text;
    while (!rest.empty()) {
      std::size_t comma = rest.find(',');
      debug_item(rest.substr(0, comma));
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
  }

 private:
  void debug_item(std::string_view item) {
    if (item.empty()) return;
    std::size_t equals = item.find('=');
    std::string_view name = item.substr(0, equals);
    auto field = std::find_if(std::begin(k_debug_fields), std::end(k_debug_fields),
                              [&](const debug_field& f) { return f.name == name; });
    if (field == std::end(k_debug_fields)) {
      complain("CAIRNDEBUG: {}: there is no setting of this name; ignored", item);
      return;
    }
    std::string_view value = equals == std::string_view::npos ? "" : item.substr(equals + 1);
    if (auto number = parse_number(value, 0, field->largest)) {
      out_.values.debug.*(field->field) = *number;
    } else {
      complain("CAIRNDEBUG: {}: expected {}=N, N from 0 to {}; using the default, {}", item, name,
               field->largest, default_of(name));
    }
  }

  static const char* default_of(std::string_view name) {
    for (const setting& s : k_settings)
      if (name == s.name) return s.default_text;
    return "";
  }

  template <class... A>
  void complain(fmt::format_string<A...> format, A&&... a) {
    out_.complaints.push_back(fmt::format(format, std::forward<A>(a)...));
  }

  const variable_lookup& lookup_;
  parsed_options& out_;
};

std::int64_t choose_seed() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  std::uint64_t mixed = static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'007 +
                        static_cast<std::uint64_t>(t.tv_nsec) + static_cast<std::uint64_t>(getpid());
  return static_cast<std::int64_t>(mixed % 1'000'000'000) + 1;  // short enough to copy by hand
}

}  // namespace

std::span<const setting> settings() { return k_settings; }

std::optional<std::size_t> parse_size(std::string_view text) {
  struct unit {
    std::string_view name;
    unsigned shift;
  };
  constexpr unit units[] = {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}};
  unsigned shift = 0;
  for (const unit& u : units) {
    if (text.size() < u.name.size() || text.substr(text.size() - u.name.size()) != u.name) continue;
    text.remove_suffix(u.name.size());
    shift = u.shift;
    break;
  }
  auto number = parse_number(text, 0, INT64_MAX >> shift);
  if (!number) return {};
  return static_cast<std::size_t>(*number) << shift;
}

parsed_options parse_options(const variable_lookup& lookup) {
  parsed_options out;
  parser p(lookup, out);
  runtime_options& v = out.values;
  p.variable("CAIRNGC", v.gc_percent, parse_percent, "a percentage from 0 on, or off");
  p.variable("CAIRNMEMLIMIT", v.memory_limit, parse_limit,
             "a number with B, KiB, MiB, GiB, TiB or nothing, or off");
  p.variable("CAIRNMAXPROCS", v.max_procs, parse_procs, "a number from 1 on");
  p.variable("CAIRNSTACK", v.stack_size, parse_stack, "a size from 16KiB to 64GiB");
  p.variable("CAIRNSIGNAL", v.signal, parse_signal, "a signal that the runtime may take, by name or number");
  p.debug_list();
  return out;
}

runtime_options options_from_environment() {
  parsed_options parsed = parse_options([](std::string_view name) -> std::optional<std::string_view> {
    const char* value = std::getenv(std::string(name).c_str());
    if (value == nullptr) return {};
    return value;
  });
  for (const std::string& complaint : parsed.complaints) heap::report("{}", complaint);
  runtime_options& v = parsed.values;
  if (v.max_procs == 0) v.max_procs = usable_cpus();
  if (v.debug.seed == 0) v.debug.seed = choose_seed();
  return v;
}

}  // namespace cairn::gc
