// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/line_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace depgraph {

std::string quoted(std::string_view text) {
  constexpr std::size_t k_shown = 40;
  std::string out = "\"";
  for (char c : text.substr(0, k_shown)) {
    if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      char hex[5];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(c));
      out += hex;
    }
  }
  return out + (text.size() > k_shown ? "...\"" : "\"");
}

line_reader::line_reader(int fd, std::string file) : file_(std::move(file)), fd_(fd), buffer_(1 << 18) {}

line_reader::line_reader(std::string_view text, std::string file)
    : file_(std::move(file)), rest_(text), at_end_(true) {}

// Moves the unfinished line to the buffer's start and reads behind it. False when nothing came.
bool line_reader::refill() {
  if (at_end_) return false;
  if (rest_.size() == buffer_.size()) {
    std::vector<char> larger(buffer_.size() * 2);
    std::memcpy(larger.data(), rest_.data(), rest_.size());
    buffer_ = std::move(larger);
  } else if (!rest_.empty()) {
    std::memmove(buffer_.data(), rest_.data(), rest_.size());
  }
  std::size_t kept = rest_.size();
  ssize_t got;
  do got = ::read(fd_, buffer_.data() + kept, buffer_.size() - kept);
  while (got < 0 && errno == EINTR);
  if (got < 0) throw index_error(file_, number_ + 1, std::string("cannot be read: ") + std::strerror(errno));
  at_end_ = got == 0;
  rest_ = {buffer_.data(), kept + static_cast<std::size_t>(got)};
  return got > 0;
}

// A tab is the only control character that a text file has within a line.
void line_reader::check(std::string_view line) const {
  if (line.size() > k_line_limit_bytes) {
    fail("overlong line: more than " + std::to_string(k_line_limit_bytes) + " bytes");
  }
  unsigned odd = 0;  // no branch in the loop, so that it becomes vector code
  for (char c : line) odd |= static_cast<unsigned>(static_cast<unsigned char>(c) < ' ' && c != '\t');
  if (odd == 0) return;
  for (std::size_t i = 0; i < line.size(); i++) {
    if (static_cast<unsigned char>(line[i]) < ' ' && line[i] != '\t') {
      char text[80];
      std::snprintf(text, sizeof text, "not text: byte 0x%02x in column %zu",
                    static_cast<unsigned char>(line[i]), i + 1);
      fail(text);
    }
  }
}

bool line_reader::next(std::string_view& line) {
  std::size_t searched = 0;
  for (;;) {
    if (const void* found = searched == rest_.size()
                                ? nullptr
                                : std::memchr(rest_.data() + searched, '\n', rest_.size() - searched)) {
      std::size_t length = static_cast<std::size_t>(static_cast<const char*>(found) - rest_.data());
      line = rest_.substr(0, length);
      rest_.remove_prefix(length + 1);
      number_++;
      if (line.ends_with('\r')) line.remove_suffix(1);
      check(line);
      return true;
    }
    searched = rest_.size();
    bool more = searched <= k_line_limit_bytes && refill();
    if (more) continue;
    if (rest_.empty()) return false;
    number_++;
    check(rest_);  // noise is named as such, before the missing end
    fail("cut record: the input ends within this line");
  }
}

}  // namespace depgraph
