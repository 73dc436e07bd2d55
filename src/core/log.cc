#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace lockstep::log {
namespace {

spdlog::level::level_enum as_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> it = [] {
    auto made = std::make_shared<spdlog::logger>("lockstep", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
    made->set_level(spdlog::level::warn);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return it;
}

}  // namespace

void set_up(std::string_view name, Level level) {
  auto made = std::make_shared<spdlog::logger>(std::string(name), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
  made->set_level(as_spdlog(level));
  made->flush_on(spdlog::level::debug);
  logger() = std::move(made);
}

void silence() { logger()->set_level(spdlog::level::off); }

void write(Level level, std::string_view line) { logger()->log(as_spdlog(level), "{}", line); }
bool enabled(Level level) { return logger()->should_log(as_spdlog(level)); }

}  // namespace lockstep::log
