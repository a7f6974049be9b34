// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "tools/linux/file_lock.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <vector>

namespace mm::linux_tool {
namespace {

using std::chrono::milliseconds;

class FileLockTest : public testing::Test {
 protected:
  FileLockTest() { std::ofstream{path_} << 'x'; }
  ~FileLockTest() override { ::unlink(path_.c_str()); }

  /// What `body` returns in a process of its own.
  template <typename F>
  static int in_a_child(F body) {
    pid_t const child = ::fork();
    if (child == 0) {
      ::_exit(body());
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string path_ = testing::TempDir() + "mm_file_lock_" + std::to_string(::getpid());
};

TEST_F(FileLockTest, AnotherProcessWaitsAndIsTold) {
  auto lock = std::optional{FileLock::take(path_, milliseconds{0}).value()};
  EXPECT_EQ(in_a_child([&] {
              auto const before = std::chrono::steady_clock::now();
              auto const mine = FileLock::take(path_, milliseconds{50});
              bool const waited = std::chrono::steady_clock::now() - before >= milliseconds{50};
              return !mine && waited && mine.error().contains("--wait") && mine.error().contains(path_) ? 7 : 1;
            }),
            7);
  lock.reset();
  EXPECT_EQ(in_a_child([&] { return FileLock::take(path_, milliseconds{0}) ? 7 : 1; }), 7);
}

TEST_F(FileLockTest, ADeadProcessHoldsNothing) {
  EXPECT_EQ(in_a_child([&] {
              auto const kept = FileLock::take(path_, milliseconds{0});
              ::_exit(kept ? 7 : 1);
              return 0;
            }),
            7);
  EXPECT_TRUE(FileLock::take(path_, milliseconds{0}).has_value());
}

TEST_F(FileLockTest, OneAtATime) {
  std::vector<pid_t> children;
  for (int who = 0; who < 4; ++who) {
    children.push_back(::fork());
    if (children.back() == 0) {
      for (int i = 0; i < 100; ++i) {
        auto const lock = FileLock::take(path_, std::chrono::seconds{60});
        char const mine = static_cast<char>('a' + who);
        std::ofstream{path_} << mine;
        if (!lock || std::ifstream{path_}.get() != mine) {
          ::_exit(1);
        }
      }
      ::_exit(0);
    }
  }
  for (pid_t const child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

TEST_F(FileLockTest, AFileThatIsNotThere) {
  auto const lock = FileLock::take(path_ + ".none", milliseconds{0});
  ASSERT_FALSE(lock.has_value());
  EXPECT_TRUE(lock.error().contains(path_ + ".none"));
}

}  // namespace
}  // namespace mm::linux_tool
