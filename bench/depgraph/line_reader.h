// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Lines of a file descriptor or of a text in memory, with what every complaint about them needs: file and line.
// Nothing but a buffer is held, so an index of any size is read in constant memory.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace depgraph {

// Input that cannot be used. what() is one printable line: "file:line: what is wrong", or "file: ..." where no line
// can be named.
class index_error : public std::runtime_error {
 public:
  index_error(const std::string& file, const std::string& what) : runtime_error(file + ": " + what) {}
  index_error(const std::string& file, std::uint64_t line, const std::string& what)
      : runtime_error(file + ":" + std::to_string(line) + ": " + what) {}
};

// The text in quotes, cut after 40 bytes, with everything that does not print as \xHH.
std::string quoted(std::string_view text);

class line_reader {
 public:
  // Longer lines are refused; Debian's longest today has 75 thousand bytes.
  static constexpr std::size_t k_line_limit_bytes = 1 << 20;

  line_reader(int fd, std::string file);                 // reads from fd, which stays the caller's
  line_reader(std::string_view text, std::string file);  // reads from memory; text outlives the reader

  // The next line without its end ("\n" or "\r\n"), valid until the next call. False at the end of the input.
  bool next(std::string_view& line);

  std::uint64_t number() const { return number_; }  // of the line that next() gave last, from 1
  [[noreturn]] void fail(const std::string& what) const { throw index_error(file_, number_, what); }
  [[noreturn]] void fail_at(std::uint64_t line, const std::string& what) const {
    throw index_error(file_, line, what);
  }

 private:
  bool refill();
  void check(std::string_view line) const;

  std::string file_;
  int fd_ = -1;
  std::vector<char> buffer_;
  std::string_view rest_;  // what is not given out yet
  std::uint64_t number_ = 0;
  bool at_end_ = false;
};

}  // namespace depgraph
