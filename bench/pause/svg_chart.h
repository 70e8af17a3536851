// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A chart as inline SVG: two axes, and marks in the units of the axes. Colours are the page's CSS classes.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pause_bench {

struct axis {
  double low, high;
  bool logarithmic = false;
  std::string title;
  std::function<std::string(double)> label;  // of a tick
};

class svg_chart {
 public:
  // `what` describes the chart to who cannot see it.
  svg_chart(axis x, axis y, double height, const std::string& what);

  // The whole height, at least a hairline wide.
  void band(double x0, double x1, const char* css_class);
  // From the bottom up to y.
  void bar(double x0, double x1, double y, const char* css_class);
  using points = std::vector<std::pair<double, double>>;
  void line(const points& through, const char* css_class);
  // With the surface under it.
  void area(const points& through, const char* css_class);
  void upright(double x, const char* css_class);
  void dot(double x, double y, const char* css_class);
  void note(const std::string& text);  // in the middle

  std::string finish();

 private:
  double at_x(double value) const;
  double at_y(double value) const;
  std::string path(const points& through) const;
  void draw_ticks();

  axis x_, y_;
  double height_;
  std::string marks_, frame_, what_;
};

// "100 ns", "2 us" and so on.
std::string show_duration_us(double us);
// The least of 1, 2, 5 times a power of ten that is no less than `value`.
double rounded_up(double value);
std::string escaped(const std::string& text);  // for HTML

}  // namespace pause_bench
