// What is kept outside of the volume: whole under its name, or not there.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "catch.h"
#include "conformance/aside_maker.h"

using namespace lockstep;
using namespace lockstep::conformance;
using runtime::AsideTree;
using runtime::Task;

namespace {

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

Task<std::unique_ptr<AsideTree>> begun(AsideMaker& maker) {
  auto tree = co_await maker.aside().begin(maker.directory(), "partial");
  INFO((tree ? std::string() : tree.error().text));
  REQUIRE(tree.has_value());
  co_return std::move(*tree);
}

Task<void> must(Task<Result<>> call) {
  const auto done = co_await std::move(call);
  INFO((done ? std::string() : done.error().text));
  REQUIRE(done.has_value());
}

Task<void> must_fail(Task<Result<>> call, Errc code, int posix) {
  const auto done = co_await std::move(call);
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().code == code);
  CHECK(done.error().posix == posix);
}

/// Nothing that needs to be root.
runtime::AsideAttributes attributes(std::uint32_t mode) {
  return {.mode = mode, .uid = ::getuid(), .gid = ::getgid(), .atime = WallTime{5}, .mtime = WallTime{1'500'000'000'123'456'789}, .xattrs = {}};
}

Task<void> objects_are_made(AsideMaker& maker) {
  const auto tree = co_await begun(maker);
  const auto room = co_await tree->room();
  REQUIRE(room.has_value());
  CHECK(room->free > 0);
  co_await must(tree->make_directory("files"));
  co_await must(tree->make_directory("files/folder"));
  co_await must(tree->make_file("files/folder/file"));
  co_await must(tree->write(8192, bytes_of("later")));
  co_await must(tree->write(0, bytes_of("first")));
  co_await must(tree->append("list", bytes_of("one\n")));
  co_await must(tree->set_size(10000));
  co_await must(tree->append("list", bytes_of("two\n")));
  co_await must(tree->make_link("files/folder/file", "files/a\nb"));
  co_await must(tree->make_symlink("files/link", "any/where"));
  co_await must(tree->make_node("files/fifo", S_IFIFO | 0640, 0));
  const auto set = co_await tree->set_attributes("files/folder/file", attributes(S_IFREG | 0751));
  REQUIRE(set.has_value());
  CHECK(*set == 0);
  const auto where = co_await tree->finish("whole");
  REQUIRE(where.has_value());
  CHECK(*where == maker.directory() + "/whole");
  const auto file = maker.look(*where + "/files/folder/file");
  REQUIRE(file.has_value());
  CHECK(file->bytes == "first" + std::string(8187, '\0') + "later" + std::string(10000 - 8197, '\0'));
  CHECK(file->mode == (S_IFREG | 0751));
  CHECK(file->mtime == WallTime{1'500'000'000'123'456'789});
  CHECK(file->names == 2);
  CHECK(maker.look(*where + "/files/a\nb")->bytes == file->bytes);
  CHECK(maker.look(*where + "/list")->bytes == "one\ntwo\n");
  CHECK(maker.look(*where + "/files/link")->bytes == "any/where");
  CHECK(S_ISFIFO(maker.look(*where + "/files/fifo")->mode));
  CHECK_FALSE(maker.look(maker.directory() + "/partial").has_value());
}

Task<void> bad_paths_are_refused(AsideMaker& maker) {
  const auto tree = co_await begun(maker);
  co_await must(tree->make_directory("files"));
  co_await must_fail(tree->make_directory("files"), Errc::io, EEXIST);
  co_await must_fail(tree->make_file("none/file"), Errc::io, ENOENT);
  co_await must_fail(tree->append("none/file", bytes_of("text")), Errc::io, ENOENT);
  for (const char* path : {"", "/files/a", "files/", "files//a", "..", "files/../a", "files/./a"}) {
    co_await must_fail(tree->make_file(path), Errc::invalid, 0);
  }
  co_await must_fail(tree->make_file(std::string("files/a\0b", 9)), Errc::invalid, 0);
  co_await must(tree->abandon());
}

Task<void> leftovers_go(AsideMaker& maker) {
  {
    const auto killed = co_await begun(maker);
    co_await must(killed->make_directory("files"));
    co_await must(killed->make_file("files/left"));
  }
  CHECK(maker.look(maker.directory() + "/partial/files/left").has_value());
  const auto tree = co_await begun(maker);
  CHECK_FALSE(maker.look(maker.directory() + "/partial/files").has_value());
  co_await must(tree->make_file("file"));
  co_await must(tree->abandon());
  CHECK_FALSE(maker.look(maker.directory() + "/partial").has_value());
}

Task<void> names_are_kept(AsideMaker& maker) {
  const auto first = co_await begun(maker);
  co_await must(first->make_file("of-first"));
  const auto where = co_await first->finish("whole");
  REQUIRE(where.has_value());
  const auto second = co_await begun(maker);
  const auto again = co_await second->finish("whole");
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().posix == EEXIST);
  co_await must(second->abandon());
  CHECK(maker.look(*where + "/of-first").has_value());
}

}  // namespace

TEST_CASE("what is kept aside stands under its name when it is finished") {
  const auto maker = make_aside();
  maker->run(objects_are_made(*maker));
}

TEST_CASE("paths that lead out of what is kept, or nowhere, are refused") {
  const auto maker = make_aside();
  maker->run(bad_paths_are_refused(*maker));
}

TEST_CASE("what an attempt left that did not finish goes with the next one") {
  const auto maker = make_aside();
  maker->run(leftovers_go(*maker));
}

TEST_CASE("what was kept is never replaced") {
  const auto maker = make_aside();
  maker->run(names_are_kept(*maker));
}
