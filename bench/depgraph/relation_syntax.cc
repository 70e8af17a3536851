// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/relation_syntax.h"

#include "bench/depgraph/line_reader.h"

namespace depgraph {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }
bool is_name_char(char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.' || c == '_'; }

// Walks one field. The first fault ends the walk and is kept in words.
class scanner {
 public:
  scanner(std::string_view text, std::string_view architecture) : text_(text), architecture_(architecture) {}

  void skip_blanks() {
    while (!done() && is_blank(text_[at_])) at_++;
  }
  bool done() const { return at_ == text_.size(); }
  bool take(char c) {
    skip_blanks();
    if (done() || text_[at_] != c) return false;
    at_++;
    return true;
  }
  bool fail(const std::string& what) { return fail_there(what + " at " + near()); }
  bool fail_there(std::string what) {  // what names the place itself
    if (fault_.empty()) fault_ = std::move(what);
    return false;
  }
  const std::string& fault() const { return fault_; }

  // name[:qualifier] [(relation version)] [[architectures]] [<profiles>]...
  // Sets `applies` to whether the restrictions include this index.
  bool target_text(std::string_view& name, relation& how, std::string_view& version, bool& applies);

 private:
  std::string near() const { return done() ? "its end" : quoted(text_.substr(at_, 24)); }
  template <class Wanted>
  std::string_view take_while(Wanted wanted) {
    std::size_t from = at_;
    while (!done() && wanted(text_[at_])) at_++;
    return text_.substr(from, at_ - from);
  }
  bool constraint(relation& how, std::string_view& version);
  bool restriction(char close, bool& applies);
  bool holds(std::string_view word, char close) const;

  std::string_view text_, architecture_;
  std::size_t at_ = 0;
  std::string fault_;
};

// Behind the "(".
bool scanner::constraint(relation& how, std::string_view& version) {
  skip_blanks();
  std::string_view sign = take_while([](char c) { return c == '<' || c == '=' || c == '>'; });
  if (sign == "<<") how = relation::earlier;
  else if (sign == "<=" || sign == "<") how = relation::earlier_equal;
  else if (sign == "=") how = relation::equal;
  else if (sign == ">=" || sign == ">") how = relation::later_equal;
  else if (sign == ">>") how = relation::later;
  else return fail(sign.empty() ? "no relation" : "unknown relation " + quoted(sign));
  skip_blanks();
  version = take_while([](char c) { return c != ')' && !is_blank(c); });
  if (version.empty()) return fail("no version");
  if (std::string fault = version_fault(version); !fault.empty()) return fail_there(fault);
  return take(')') || fail("no \")\" after the version");
}

bool scanner::holds(std::string_view word, char close) const {
  if (close == '>') return false;  // no build profile is active in an index of binary packages
  return architecture_ == "all" || word == "any" || word == "linux-any" || word == architecture_;
}

// Behind a "[" or "<". An architecture list applies if any of its words holds, or, all negated, if none does.
bool scanner::restriction(char close, bool& applies) {
  bool any_plain = false, plain_holds = false, negated_fails = false;
  std::size_t words = 0;
  for (; !take(close); words++) {
    bool negated = take('!');
    std::string_view word = take_while([](char c) { return is_name_char(c); });
    if (word.empty()) return fail(std::string("no \"") + close + "\" or name in the restriction");
    bool yes = holds(word, close);
    if (negated) negated_fails |= yes && architecture_ != "all";
    else any_plain = true, plain_holds |= yes;
  }
  if (words == 0) return fail("empty restriction");
  applies = !negated_fails && (!any_plain || plain_holds);
  return true;
}

bool scanner::target_text(std::string_view& name, relation& how, std::string_view& version, bool& applies) {
  skip_blanks();
  name = take_while(is_name_char);
  if (name.empty()) return fail("no package name");
  if (std::string fault = name_fault(name); !fault.empty()) return fail_there(fault);
  if (!done() && text_[at_] == ':') {
    at_++;
    if (take_while(is_name_char).empty()) return fail("no architecture after \":\"");
  }
  how = relation::any;
  version = {};
  applies = true;
  if (take('(') && !constraint(how, version)) return false;
  if (bool here = true; take('[')) {
    if (!restriction(']', here)) return false;
    applies = here;
  }
  bool grouped = false, some = false;
  while (take('<')) {  // <a b> <c>: one of the groups must hold
    bool here = true;
    if (!restriction('>', here)) return false;
    grouped = true;
    some |= here;
  }
  if (grouped && !some) applies = false;
  return true;
}

}  // namespace

std::string name_fault(std::string_view name) {
  if (name.empty()) return "no package name";
  if (!is_alnum(name[0])) return "package name " + quoted(name) + " does not start with a letter or digit";
  for (char c : name) {
    if (!is_name_char(c)) return "package name " + quoted(name) + " has odd characters";
  }
  return {};
}

std::string version_fault(std::string_view version) {
  auto bad = [&](const char* why) { return "bad version " + quoted(version) + ": " + why; };
  if (version.empty()) return "no version";
  std::string_view rest = version;
  if (std::size_t colon = rest.find(':'); colon != rest.npos) {
    if (colon == 0 || colon > 9) return bad("the epoch is not a small number");
    for (char c : rest.substr(0, colon)) {
      if (!is_digit(c)) return bad("the epoch is not a small number");
    }
    rest.remove_prefix(colon + 1);
  }
  if (rest.empty()) return bad("nothing after the epoch");
  if (!is_alnum(rest[0])) return bad("it must start with a letter or digit");
  if (rest.ends_with('-')) return bad("the revision is empty");
  for (char c : rest) {
    if (!is_alnum(c) && c != '.' && c != '+' && c != '-' && c != '~' && c != ':' && c != '_')
      return bad("odd characters");
  }
  return {};
}

std::string read_clauses(std::string_view field, std::string_view architecture, records& into) {
  scanner in(field, architecture);
  do {
    in.skip_blanks();
    if (in.done()) break;
    if (in.take(',')) continue;
    clause one{static_cast<std::uint32_t>(into.targets.size()), 0};
    do {
      std::string_view name, version;
      relation how;
      bool applies;
      if (!in.target_text(name, how, version, applies)) return in.fault();
      if (applies) into.targets.push_back({into.intern(name), how, into.store(version)});
    } while (in.take('|'));
    one.last = static_cast<std::uint32_t>(into.targets.size());
    if (one.size() != 0) into.clauses.push_back(one);
    in.skip_blanks();
    if (!in.done() && !in.take(',')) in.fail("no \",\" or \"|\"");
  } while (in.fault().empty());
  return in.fault();
}

std::string read_provides(std::string_view field, std::string_view architecture, records& into) {
  scanner in(field, architecture);
  do {
    in.skip_blanks();
    if (in.done()) break;
    if (in.take(',')) continue;
    std::string_view name, version;
    relation how;
    bool applies;
    if (!in.target_text(name, how, version, applies)) return in.fault();
    if (how != relation::any && how != relation::equal) in.fail_there("a provided version needs \"=\"");
    if (applies) into.provides.push_back({into.intern(name), how, into.store(version)});
    in.skip_blanks();
    if (!in.done() && !in.take(',')) in.fail("no \",\"");
  } while (in.fault().empty());
  return in.fault();
}

}  // namespace depgraph
