// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/index_reader.h"

#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "bench/depgraph/relation_syntax.h"

namespace depgraph {
namespace {

enum field : std::size_t {
  k_package,
  k_version,
  k_architecture,
  k_depends,
  k_pre_depends,
  k_provides,
  k_fields
};
constexpr std::array<std::string_view, k_fields> k_field_names{"Package", "Version",     "Architecture",
                                                               "Depends", "Pre-Depends", "Provides"};
constexpr std::size_t k_field_limit = 1000;  // per stanza; bounds the search for fields given twice

// Field names know no case.
bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::uint64_t name_hash(std::string_view name) {
  std::uint64_t hash = 14695981039346656037u;
  for (char c : name) {
    unsigned char lower = static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    hash = (hash ^ lower) * 1099511628211u;
  }
  return hash;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Gathers the fields of one stanza; syntax is looked at when the stanza is whole, because Architecture may come last.
class stanza_reader {
 public:
  stanza_reader(line_reader& in, records& into) : in_(in), into_(into) {}

  void line(std::string_view text);
  void blank_line() {
    if (first_line_ != 0) finish();
  }

 private:
  struct kept_field {
    std::string value;
    std::uint64_t line = 0;  // 0: not in this stanza
  };

  void header(std::string_view text);
  void finish();
  // The line of a fault in a folded field is that of the field's name.
  void check(field f, const std::string& fault) {
    if (!fault.empty()) in_.fail_at(kept_[f].line, std::string(k_field_names[f]) + ": " + fault);
  }

  line_reader& in_;
  records& into_;
  std::array<kept_field, k_fields> kept_;
  std::vector<std::uint64_t> seen_;  // hashes of this stanza's field names
  std::uint64_t first_line_ = 0;     // 0: between stanzas
  kept_field* current_ = nullptr;    // what a continuation line belongs to, if anybody wants it
};

void stanza_reader::line(std::string_view text) {
  if (text[0] == ' ' || text[0] == '\t') {
    if (first_line_ == 0) in_.fail("continuation line without a field before it");
    if (current_ != nullptr) current_->value.append("\n").append(text);
    return;
  }
  header(text);
}

void stanza_reader::header(std::string_view text) {
  std::size_t colon = text.find(':');
  if (colon == text.npos) in_.fail("no colon in " + quoted(text));
  std::string_view name = text.substr(0, colon);
  if (name.empty()) in_.fail("no field name before the colon");
  for (char c : name) {
    if (c <= ' ' || c > '~') in_.fail("bad field name " + quoted(name));
  }
  if (first_line_ == 0) first_line_ = in_.number();
  std::uint64_t hash = name_hash(name);
  if (std::find(seen_.begin(), seen_.end(), hash) != seen_.end()) {
    in_.fail("field " + std::string(name.substr(0, 60)) + " given twice in the stanza of line " +
             std::to_string(first_line_));
  }
  if (seen_.size() == k_field_limit)
    in_.fail("more than " + std::to_string(k_field_limit) + " fields in one stanza");
  seen_.push_back(hash);
  current_ = nullptr;
  for (std::size_t f = 0; f < k_fields; f++) {
    if (!same_name(name, k_field_names[f])) continue;
    current_ = &kept_[f];
    current_->value.assign(text.substr(colon + 1));
    current_->line = in_.number();
  }
}

void stanza_reader::finish() {
  for (field f : {k_package, k_version}) {
    if (kept_[f].line == 0)
      in_.fail_at(first_line_, "the stanza has no " + std::string(k_field_names[f]) + " field");
  }
  std::string_view name = trimmed(kept_[k_package].value), version = trimmed(kept_[k_version].value);
  check(k_package, name_fault(name));
  check(k_version, version_fault(version));
  std::string_view architecture = trimmed(kept_[k_architecture].value);

  stanza made{into_.intern(name), into_.store(version), into_.store(architecture), {}, {}};
  made.clauses.first = static_cast<std::uint32_t>(into_.clauses.size());
  made.provides.first = static_cast<std::uint32_t>(into_.provides.size());
  for (field f : {k_pre_depends, k_depends}) check(f, read_clauses(kept_[f].value, architecture, into_));
  check(k_provides, read_provides(kept_[k_provides].value, architecture, into_));
  made.clauses.last = static_cast<std::uint32_t>(into_.clauses.size());
  made.provides.last = static_cast<std::uint32_t>(into_.provides.size());
  into_.stanzas.push_back(made);

  for (kept_field& kept : kept_) {
    kept.value.clear();
    kept.line = 0;
  }
  seen_.clear();
  first_line_ = 0;
  current_ = nullptr;
}

}  // namespace

records read_index(line_reader& in) {
  records into;
  stanza_reader stanzas(in, into);
  std::string_view line;
  while (in.next(line)) {
    if (line.find_first_not_of(" \t") == line.npos) stanzas.blank_line();
    else stanzas.line(line);
  }
  stanzas.blank_line();  // a file may end without the blank line
  if (into.stanzas.empty()) {
    in.fail_at(std::max<std::uint64_t>(in.number(), 1),
               in.number() == 0 ? "empty input" : "no stanza in the input");
  }
  into.finish();
  return into;
}

void index_file::fail(const char* what) const {
  throw index_error(name_, std::string(what) + ": " + std::strerror(errno));
}

index_file::index_file(const std::string& path) : name_(path == "-" ? "standard input" : path) {
  fd_ = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY);
  if (fd_ < 0) fail("cannot be opened");
  struct stat status;
  if (::fstat(fd_, &status) != 0) fail("cannot be looked at");
  if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    fail("cannot be read");
  }
  if (!S_ISREG(status.st_mode)) copy_to_temporary();
}

index_file::~index_file() { ::close(fd_); }

// The descriptor of the stream is duplicated, so closing the stream leaves the file.
void index_file::copy_to_temporary() {
  std::FILE* stream = std::tmpfile();
  int copy = stream == nullptr ? -1 : ::dup(::fileno(stream));
  if (stream != nullptr) std::fclose(stream);
  if (copy < 0) fail("cannot be copied to a temporary file");
  std::vector<char> buffer(1 << 18);
  for (;;) {
    ssize_t got = ::read(fd_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot be read");
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      ssize_t put = ::write(copy, buffer.data() + done, static_cast<std::size_t>(got - done));
      if (put < 0 && errno != EINTR) fail("cannot be copied to a temporary file");
      if (put > 0) done += put;
    }
  }
  ::close(fd_);
  fd_ = copy;
}

records index_file::read() {
  if (::lseek(fd_, 0, SEEK_SET) != 0) fail("cannot be rewound");
  line_reader in(fd_, name_);
  return read_index(in);
}

}  // namespace depgraph
