// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/pause/svg_chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace pause_bench {
namespace {

constexpr double k_width = 960, k_left = 76, k_right = 16, k_top = 12, k_bottom = 46;

double share(const axis& on, double value) {
  value = std::clamp(value, on.low, on.high);
  if (on.logarithmic) return std::log(value / on.low) / std::log(on.high / on.low);
  return (value - on.low) / (on.high - on.low);
}

struct tick {
  double value;
  bool labelled;
};

// `most`: as many labels as there is room for, on a linear axis.
std::vector<tick> ticks_of(const axis& on, double most) {
  std::vector<tick> out;
  constexpr double k_slack = 1 + 1e-9;
  if (on.logarithmic) {
    for (double decade = std::pow(10, std::floor(std::log10(on.low))); decade <= on.high * k_slack;
         decade *= 10) {
      for (int digit = 1; digit < 10; digit++) {
        const double value = decade * digit;
        if (value * k_slack >= on.low && value <= on.high * k_slack) out.push_back({value, digit == 1});
      }
    }
    return out;
  }
  const double step = rounded_up((on.high - on.low) / most);
  for (int i = 0; on.low + i * step <= on.high * k_slack; i++) out.push_back({on.low + i * step, true});
  return out;
}

}  // namespace

double rounded_up(double value) {
  if (!(value > 0)) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (double factor : {1., 2., 5.}) {
    if (value <= factor * power * (1 + 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string show_duration_us(double us) {
  if (us < 0.9995) return fmt::format("{:.3g} ns", us * 1e3);
  if (us < 999.5) return fmt::format("{:.3g} \u00b5s", us);
  if (us < 999.5e3) return fmt::format("{:.3g} ms", us / 1e3);
  return fmt::format("{:.3g} s", us / 1e6);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else out += c;
  }
  return out;
}

svg_chart::svg_chart(axis x, axis y, double height, const std::string& what)
    : x_(std::move(x)), y_(std::move(y)), height_(height), what_(what) {
  draw_ticks();
}

double svg_chart::at_x(double value) const {
  return k_left + share(x_, value) * (k_width - k_left - k_right);
}
double svg_chart::at_y(double value) const {
  return height_ - k_bottom - share(y_, value) * (height_ - k_top - k_bottom);
}

void svg_chart::draw_ticks() {
  const double bottom = height_ - k_bottom, right = k_width - k_right;
  auto grid = [&](double x0, double y0, double x1, double y1, bool major) {
    frame_ += fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                          major ? "grid" : "minor", x0, y0, x1, y1);
  };
  for (const tick& one : ticks_of(x_, 12)) {
    const double x = at_x(one.value);
    grid(x, k_top, x, bottom, one.labelled);
    if (one.labelled) {
      frame_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x,
                            bottom + 17, x_.label(one.value));
    }
  }
  for (const tick& one : ticks_of(y_, (bottom - k_top) / 24)) {
    const double y = at_y(one.value);
    grid(k_left, y, right, y, one.labelled);
    if (one.labelled) {
      frame_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", k_left - 7,
                            y + 4, y_.label(one.value));
    }
  }
  const double middle = (k_top + bottom) / 2;
  frame_ += fmt::format("<text class=\"title\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                        (k_left + right) / 2, height_ - 8, x_.title);
  frame_ += fmt::format(
      "<text class=\"title\" transform=\"translate(14 {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>\n",
      middle, y_.title);
}

void svg_chart::band(double x0, double x1, const char* css_class) {
  const double left = at_x(x0), width = std::max(at_x(x1) - left, 1.);
  marks_ += fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
                        css_class, left, k_top, width, height_ - k_top - k_bottom);
}

void svg_chart::bar(double x0, double x1, double y, const char* css_class) {
  const double left = at_x(x0), top = at_y(y);
  marks_ += fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n",
                        css_class, left, top, std::max(at_x(x1) - left, 1.), height_ - k_bottom - top);
}

std::string svg_chart::path(const points& through) const {
  std::string out;
  for (auto [x, y] : through)
    out += fmt::format("{}{:.1f} {:.1f}", out.empty() ? "M" : " L", at_x(x), at_y(y));
  return out;
}

void svg_chart::line(const points& through, const char* css_class) {
  if (through.empty()) return;
  marks_ += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", css_class, path(through));
}

void svg_chart::area(const points& through, const char* css_class) {
  if (through.empty()) return;
  marks_ += fmt::format("<path class=\"{} fill\" d=\"{} L{:.1f} {:.1f} L{:.1f} {:.1f} Z\"/>\n", css_class,
                        path(through), at_x(through.back().first), height_ - k_bottom,
                        at_x(through.front().first), height_ - k_bottom);
  line(through, css_class);
}

void svg_chart::upright(double x, const char* css_class) {
  marks_ += fmt::format(
      "<line class=\"{} upright\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css_class,
      at_x(x), at_x(x), k_top, height_ - k_bottom);
}

void svg_chart::dot(double x, double y, const char* css_class) {
  marks_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>\n", css_class, at_x(x),
                        at_y(y));
}

void svg_chart::note(const std::string& text) {
  marks_ += fmt::format("<text class=\"note\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                        (k_left + k_width - k_right) / 2, (k_top + height_ - k_bottom) / 2 + 4, escaped(text));
}

std::string svg_chart::finish() {
  return fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n{}{}"
      "<path class=\"frame\" d=\"M{:.1f} {:.1f} V{:.1f} H{:.1f}\"/>\n</svg>\n",
      k_width, height_, escaped(what_), frame_, marks_, k_left, k_top, height_ - k_bottom, k_width - k_right);
}

}  // namespace pause_bench
