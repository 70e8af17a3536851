// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// One line on standard error, put together without malloc or stdio: a stopped thread may hold their locks.
#pragma once
#include <unistd.h>

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <string_view>

namespace cairn::sched {

struct hexadecimal {
  unsigned long long number;
};

class message {
 public:
  message& operator<<(std::string_view text) noexcept {
    for (char c : text)
      if (size_ < sizeof bytes_) bytes_[size_++] = c;
    return *this;
  }
  message& operator<<(std::integral auto number) noexcept {
    char digits[24];
    std::size_t at = sizeof digits;
    auto rest = static_cast<unsigned long long>(number);  // numbers here are counts and ids
    do digits[--at] = static_cast<char>('0' + rest % 10);
    while ((rest /= 10) != 0);
    return *this << std::string_view(digits + at, sizeof digits - at);
  }
  message& operator<<(hexadecimal value) noexcept {
    char digits[16];
    std::size_t at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[value.number % 16];
    while ((value.number /= 16) != 0);
    return *this << "0x" << std::string_view(digits + at, sizeof digits - at);
  }
  std::size_t size() const noexcept { return size_; }
  // Writes it in one call, so that lines of several threads do not mix. errno is kept.
  void send() noexcept {
    int saved_errno = errno;
    if (size_ == sizeof bytes_) bytes_[size_ - 1] = '\n';  // cut
    std::size_t sent = 0;
    while (sent < size_) {
      ssize_t n = ::write(STDERR_FILENO, bytes_ + sent, size_ - sent);
      if (n <= 0 && errno != EINTR) break;
      if (n > 0) sent += static_cast<std::size_t>(n);
    }
    errno = saved_errno;
  }

 private:
  char bytes_[1000];
  std::size_t size_ = 0;
};

}  // namespace cairn::sched
