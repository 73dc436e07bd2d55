// probe.h - a place in the code that is seldom reached: counted, so that whoever tests knows that it was.
//
//   Probe late("the result of a swap came late");   // at namespace scope, in the source file
//   ...
//   late.hit();                                     // there
//
// The simulator prints them all, with those that no seed has reached. One increment each; hit() is for the thread of the loop only.
#pragma once

#include <cstdint>

namespace lockstep {

class Probe {
 public:
  explicit Probe(const char* name) : name_(name), next_(newest()) { newest() = this; }
  Probe(const Probe&) = delete;

  void hit() { ++count_; }

  [[nodiscard]] const char* name() const { return name_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// All probes of the program, in no particular order; null: there is none (any more).
  [[nodiscard]] static const Probe* first() { return newest(); }
  [[nodiscard]] const Probe* next() const { return next_; }

 private:
  static Probe*& newest() {
    static Probe* probe = nullptr;
    return probe;
  }
  const char* name_;
  const Probe* next_;
  std::uint64_t count_ = 0;
};

}  // namespace lockstep
