// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A file of the system's, to be read. Calls nothing but the system, so that signal handlers and threads that hold any
// lock of the runtime's may use it; changes errno.
#pragma once
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace cairn::heap {

class file {
 public:
  explicit file(const char* path) noexcept : fd_(::open(path, O_RDONLY | O_CLOEXEC)) {}
  ~file() {
    if (fd_ >= 0) ::close(fd_);
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;

  bool is_open() const noexcept { return fd_ >= 0; }
  // Bytes read, 0 at the end, -1: it failed, or is not open.
  ssize_t read(void* to, std::size_t bytes) const noexcept {
    ssize_t n = 0;
    do n = ::read(fd_, to, bytes);
    while (n < 0 && errno == EINTR);
    return n;
  }
  ssize_t read_at(std::uint64_t offset, void* to, std::size_t bytes) const noexcept {
    ssize_t n = 0;
    do n = ::pread(fd_, to, bytes, static_cast<off_t>(offset));
    while (n < 0 && errno == EINTR);
    return n;
  }
  // False: it has fewer.
  bool read_all_at(std::uint64_t offset, void* to, std::size_t bytes) const noexcept {
    for (auto* out = static_cast<char*>(to); bytes != 0;) {
      const ssize_t n = read_at(offset, out, bytes);
      if (n <= 0) return false;
      out += n;
      offset += static_cast<std::uint64_t>(n);
      bytes -= static_cast<std::size_t>(n);
    }
    return true;
  }

 private:
  const int fd_;
};

}  // namespace cairn::heap
