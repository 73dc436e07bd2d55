#include "area/state_file.h"

#include <fmt/format.h>

#include <cstring>
#include <optional>
#include <vector>

#include "core/checksum.h"
#include "core/log.h"

namespace lockstep::area {
namespace {

struct Copy {
  std::uint64_t generation = 0;
  std::string bytes;
};

std::uint64_t checksum_of(Bytes header_and_bytes) { return checksum(header_and_bytes.subspan(sizeof(StateHeader::checksum))); }

/// What stands at place `index`; nullopt: damaged.
std::optional<Copy> parse(Bytes raw, std::size_t index) {
  StateHeader header;
  std::memcpy(&header, raw.data(), sizeof header);
  if (header.magic != StateHeader::kMagic || header.length > kStateBytesMax || header.generation % 2 != index) return std::nullopt;
  const Bytes all = raw.first(sizeof header + header.length);
  if (checksum_of(all) != header.checksum) return std::nullopt;
  const Bytes body = all.subspan(sizeof header);
  return Copy{header.generation, std::string(reinterpret_cast<const char*>(body.data()), body.size())};
}

}  // namespace

runtime::Task<Result<>> StateFile::write(runtime::File& file, const std::string& bytes, std::uint64_t& generation) {
  for (int i = 0; i < 2; ++i) {
    ++generation;
    std::vector<std::byte> raw(sizeof(StateHeader) + bytes.size());
    StateHeader header{0, StateHeader::kMagic, generation, bytes.size()};
    std::memcpy(raw.data(), &header, sizeof header);
    if (!bytes.empty()) std::memcpy(raw.data() + sizeof header, bytes.data(), bytes.size());
    header.checksum = checksum_of(raw);
    std::memcpy(raw.data(), &header, sizeof header);
    const std::array<Bytes, 1> parts{Bytes(raw)};
    const std::uint64_t offset = generation % 2 * kStateCopyBytes;
    Result<> done = file.write_now(offset, parts);
    if (done) done = co_await file.sync({offset, raw.size()});
    if (!done) co_return done;
  }
  co_return Result<>{};
}

runtime::Task<Result<>> StateFile::format(runtime::File& file) {
  std::uint64_t generation = 0;
  const std::string nothing;
  co_return co_await write(file, nothing, generation);
}

runtime::Task<Result<std::unique_ptr<StateFile>>> StateFile::open(std::unique_ptr<runtime::File> file,
                                                                  runtime::Scheduler& scheduler, Failure& failure) {
  std::unique_ptr<StateFile> state(new StateFile(std::move(file), scheduler, failure));
  // What is read will be told to others, so it must not vanish when the power goes.
  Result<> done = co_await state->file_->sync({0, kStateFileBytes});
  if (!done) co_return std::unexpected(std::move(done.error()));
  std::array<std::optional<Copy>, 2> copies;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    std::vector<std::byte> raw(kStateCopyBytes);
    Result<> read = co_await state->file_->read(i * kStateCopyBytes, raw);
    if (read) copies[i] = parse(raw, i);
  }
  if (!copies[0] && !copies[1]) {
    co_return fail(Errc::corrupt, "state: both copies are damaged, so which sites hold every acknowledged write is not known here; "
                                  "format this site's area again and let it catch up from the other site");
  }
  const bool second = !copies[0] || (copies[1] && copies[1]->generation > copies[0]->generation);
  const bool same = copies[0] && copies[1] && copies[0]->bytes == copies[1]->bytes;
  if (!copies[0] || !copies[1])
    log::warning("state: copy {} was damaged; it is written again from the other", copies[0] ? 1 : 0);
  state->bytes_ = std::move(copies[second ? 1 : 0]->bytes);
  state->generation_ = copies[second ? 1 : 0]->generation;
  // The one in force stands at its generation's place: the first write goes over the other.
  if (!same) done = co_await write(*state->file_, state->bytes_, state->generation_);
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return std::move(state);
}

runtime::Task<Result<>> StateFile::save(std::string bytes) {
  if (bytes.size() > kStateBytesMax)
    co_return fail(Errc::invalid, fmt::format("a state of {} bytes is larger than {}", bytes.size(), kStateBytesMax));
  co_await saving_.take(1);
  Result<> done = failed_ ? failure_.check() : Result<>();
  if (done) {
    done = co_await write(*file_, bytes, generation_);
    if (done) {
      bytes_ = std::move(bytes);
    } else {
      failed_ = true;
      done = failure_.note(std::move(done.error()));
    }
  }
  saving_.give_back(1);
  co_return done;
}

}  // namespace lockstep::area
