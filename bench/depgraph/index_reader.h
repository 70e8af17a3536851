// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Reads a Debian package index: stanzas of "Field: value" lines with continuation lines, separated by blank lines,
// as `apt-cache dumpavail` prints them and as Packages files hold them. A stanza needs Package and Version; of the
// rest Architecture, Depends, Pre-Depends and Provides are looked at. What cannot be right (a stanza cut short, a
// line without a colon, a field given twice, syntax that is none, bytes that are no text, an input without a single
// stanza) ends the reading with an index_error that names file and line.
#pragma once
#include <string>

#include "bench/depgraph/line_reader.h"
#include "bench/depgraph/records.h"

namespace depgraph {

records read_index(line_reader& in);

// The input as a file that can be read more than once, because each setting reads it anew in a process of its own.
class index_file {
 public:
  // Opens path ("-": standard input). What cannot be rewound is copied to an unnamed temporary file. Throws
  // index_error.
  explicit index_file(const std::string& path);
  ~index_file();
  index_file(const index_file&) = delete;
  index_file& operator=(const index_file&) = delete;

  records read();  // from its beginning
  // Where a child process, which inherits the descriptor, finds the same bytes.
  std::string path_for_child() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  void copy_to_temporary();
  [[noreturn]] void fail(const char* what) const;

  std::string name_;
  int fd_;
};

}  // namespace depgraph
