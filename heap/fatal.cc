// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See heap/fatal.h.
#include "heap/fatal.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "heap/delay.h"

namespace cairn::heap {
namespace {

// A line that grows to its end and no further; room is kept for the newline.
class line {
 public:
  void append(std::string_view text) {
    std::size_t n = text.size() < k_message_bytes - used_ ? text.size() : k_message_bytes - used_;
    std::memcpy(text_ + used_, text.data(), n);
    used_ += n;
  }
  // vformat_to_n counts what it would have written.
  void append(fmt::string_view format, fmt::format_args args) {
    std::size_t room = k_message_bytes - used_;
    std::size_t wanted = fmt::vformat_to_n(text_ + used_, room, format, args).size;
    used_ += wanted < room ? wanted : room;
  }
  void end() {
    text_[used_] = '\n';
    write_error(text_, used_ + 1);
  }

 private:
  char text_[k_message_bytes + 1];
  std::size_t used_ = 0;
};

// How to get the same delays again.
void say_seed() {
  unsigned permille = delays.permille.load(std::memory_order_relaxed);
  if (permille == 0) return;
  const char* point = last_delay_point();
  std::uint64_t seed = delays.seed.load(std::memory_order_relaxed);
  line l;
  l.append("cairn: random delays were on, CAIRNDEBUG=delay={},seed={}; this thread's last one was at {}",
           fmt::make_format_args(permille, seed, point == nullptr ? "no point" : point));
  l.end();
}

}  // namespace

void write_error(const char* text, std::size_t bytes) noexcept {
  int saved = errno;
  while (bytes > 0) {
    ssize_t n = ::write(STDERR_FILENO, text, bytes);
    if (n > 0) {
      text += n;
      bytes -= static_cast<std::size_t>(n);
    } else if (n == 0 || errno != EINTR) {
      break;
    }
  }
  errno = saved;
}

void fatal_detail::say(after then, fmt::string_view format, fmt::format_args args) noexcept {
  line l;
  l.append(then == after::go_on ? "cairn: " : "cairn: fatal error: ");
  l.append(format, args);
  l.end();
  if (then == after::go_on) return;
  say_seed();
  if (then == after::exit) ::_exit(2);
  std::abort();
}

}  // namespace cairn::heap
