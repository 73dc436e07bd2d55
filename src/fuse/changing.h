// changing.h - requests that change names and attributes: each becomes one operation for the controller.
//
// What is answered about an object is looked up again when the change has returned, in the step that answers: another
// site may have changed it since, and dropped what the kernel did not keep yet. What is not as it was made is answered
// with no validity, so that the kernel asks again. CREATE of a name that exists opens it if the caller plainly may, else
// it is answered ESTALE: then the kernel looks the name up and checks the rights itself.
#pragma once

#include <set>

#include "fuse/mount_state.h"
#include "fuse/reading.h"

namespace lockstep::fuse {

class Changing {
 public:
  Changing(MountState& state, Reading& reading) : state_(state), reading_(reading) {}

  void start(runtime::HostRequest request);
  /// A last handle was closed: gives space ahead back, or says that the object may go.
  void last_handle_closed(InodeId inode, std::uint32_t growths);

  /// An object without a name that may be open here in a moment: one that is being made, to be open, by a request without an answer. The other
  /// site's host may take its name away before the answer is out.
  [[nodiscard]] bool may_be_opening(InodeId inode);

 private:
  runtime::Task<void> reserve(runtime::HostRequest request);
  runtime::Task<void> carry_out(runtime::HostRequest request);
  /// Says in `operation` what the kernel takes its names for (changed_names.h). False: the request was answered.
  runtime::Task<bool> expect(const runtime::HostRequest& request, wire::Operation& operation);
  /// The kernel is about to take these for what was removed or moved, and one of them was not.
  void mistook(wire::OpKind kind, InodeId expected, InodeId other_expected);
  void recount_links(const runtime::HostRequest& request, const wire::Outcome& outcome);
  runtime::Task<void> open_truncated(runtime::HostRequest request);
  runtime::Task<void> create(runtime::HostRequest request);
  runtime::Task<void> create_nameless(runtime::HostRequest request);
  /// Setuid or setgid, as far as is known.
  [[nodiscard]] bool may_have_privileges(InodeId inode);
  void trim_if_asked(InodeId inode, const wire::Outcome& outcome);
  runtime::Task<void> trim(InodeId inode);
  runtime::Task<void> after_last_close(InodeId inode, std::uint32_t growths);
  runtime::Task<wire::Outcome> truncate(const runtime::HostRequest& request, InodeId inode);
  void answer(const runtime::HostRequest& request, const wire::Outcome& outcome);
  /// An object as it is to be handed out under `request.name`; what was made is in `outcome`.
  [[nodiscard]] runtime::EntryReply made(const runtime::HostRequest& request, const wire::Outcome& outcome);
  /// While it is there a file is being made that will be open.
  class Making;

  MountState& state_;
  Reading& reading_;
  std::multiset<InodeId> making_;  ///< each file that is being made to be open: its number is this one or higher
  std::set<InodeId> said_open_;    ///< answered by may_be_opening(), and may be one of these still
};

}  // namespace lockstep::fuse
