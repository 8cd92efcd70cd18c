/* sandbox_profile.c - see sandbox_profile.h. Landlock is called by number: its library is in no package,
 * and headers older than the kernel do not know its later rights. */
#include "sandbox_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DESCRIPTORS 3
#define LANDLOCK_CREATE 444 /* the same number on every architecture */
#define LANDLOCK_RESTRICT 446
#define LANDLOCK_VERSION 1u

/* What Landlock can forbid: rights to files by version of its interface, TCP from 4, scopes from 6. */
typedef struct {
  uint64_t files, network, scopes;
} landlock_ruleset;

static bool fail(weir_sandbox_proof *proof, const char *wall) {
  snprintf(proof->failure, sizeof proof->failure, "%s (%s)", wall, errno ? strerror(errno) : "no error");
  return false;
}

static bool give_up_privileges(weir_sandbox_proof *proof) {
  if (close_range(DESCRIPTORS, ~0u, 0) != 0) return fail(proof, "inherited descriptors cannot be closed");
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return fail(proof, "memory stays readable for others");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
    return fail(proof, "new privileges cannot be ruled out");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct none[2] = { { 0 } }, held[2] = { { 0 } };
  if (syscall(SYS_capset, &header, none) != 0 || syscall(SYS_capget, &header, held) != 0 ||
      memcmp(none, held, sizeof none) != 0)
    return fail(proof, "capabilities cannot be dropped");
  return true;
}

static landlock_ruleset all_rights(int version) {
  unsigned files = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
  return (landlock_ruleset){ .files = (1u << files) - 1, .network = version >= 4 ? 3 : 0,
                             .scopes = version >= 6 ? 3 : 0 };
}

static size_t ruleset_size(int version) {
  if (version >= 6) return sizeof(landlock_ruleset);
  return version >= 4 ? offsetof(landlock_ruleset, scopes) : offsetof(landlock_ruleset, network);
}

static bool is_refused(int descriptor) {
  if (descriptor >= 0) close(descriptor);
  return descriptor < 0 && errno == EACCES;
}

static bool is_connect_refused(void) {
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(1) };
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return true; /* there is no network at all */
  bool refused = connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0 && errno == EACCES;
  close(descriptor);
  return refused;
}

/* Handle every right that the kernel knows, and allow none. */
static bool wall_off_files(weir_sandbox_proof *proof) {
  long version = syscall(LANDLOCK_CREATE, NULL, (size_t)0, LANDLOCK_VERSION);
  if (version < 1) return fail(proof, "the kernel has no Landlock, or it is off");
  proof->landlock = (int)version;
  landlock_ruleset ruleset = all_rights(proof->landlock);
  int descriptor = (int)syscall(LANDLOCK_CREATE, &ruleset, ruleset_size(proof->landlock), 0u);
  if (descriptor < 0) return fail(proof, "Landlock refuses its rules");
  long restricted = syscall(LANDLOCK_RESTRICT, descriptor, 0u);
  close(descriptor);
  if (restricted != 0) return fail(proof, "Landlock does not take effect");
  if (!is_refused(open("/", O_RDONLY | O_DIRECTORY)) || !is_refused(open("/proc/self/exe", O_RDONLY)) ||
      !is_refused(open("/dev/null", O_WRONLY)))
    return fail(proof, "a file can be opened in spite of Landlock");
  if (proof->landlock >= 4 && !is_connect_refused())
    return fail(proof, "a connection can be made in spite of Landlock");
  return true;
}

static bool limit(int resource, rlim_t soft, rlim_t hard) {
  struct rlimit wanted = { soft, hard }, read = { 0, 0 };
  return setrlimit((__rlimit_resource_t)resource, &wanted) == 0 &&
         getrlimit((__rlimit_resource_t)resource, &read) == 0 && read.rlim_cur == soft && read.rlim_max == hard;
}

static bool set_limits(const weir_sandbox_limits *limits, weir_sandbox_proof *proof) {
  if (!limit(RLIMIT_CORE, 0, 0) || !limit(RLIMIT_FSIZE, 0, 0) || !limit(RLIMIT_NPROC, 0, 0) ||
      !limit(RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS) || !limit(RLIMIT_MEMLOCK, 0, 0) ||
      !limit(RLIMIT_CPU, limits->cpu_seconds, limits->cpu_seconds + 1) ||
      !limit(RLIMIT_AS, limits->memory_bytes, limits->memory_bytes))
    return fail(proof, "a limit cannot be set");
  if (dup(0) != -1 || errno != EMFILE) return fail(proof, "descriptors are not limited");
  void *memory = mmap(NULL, limits->memory_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) return fail(proof, "memory is not limited");
  return true;
}

/* The calls that are left: memory, the two pipes, the end. */
static bool allow_calls(scmp_filter_ctx filter) {
  static const int calls[] = { SCMP_SYS(exit),    SCMP_SYS(exit_group), SCMP_SYS(brk),
                               SCMP_SYS(munmap),  SCMP_SYS(mremap),     SCMP_SYS(madvise),
                               SCMP_SYS(futex),   SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
                               SCMP_SYS(clock_gettime) };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) != 0) return false;
  return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(read), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0)) == 0 &&
         seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, 1, 0)) == 0 &&
         seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                          SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                          SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)) == 0;
}

/* A filter that answers every other call with `otherwise`; another one may follow it, if asked. */
static bool load_filter(uint32_t otherwise, bool may_follow) {
  scmp_filter_ctx filter = seccomp_init(otherwise);
  if (!filter) return false;
  bool ok = allow_calls(filter);
  if (may_follow)
    ok = ok && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 0) == 0 &&
         seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 0) == 0;
  int error = ok ? seccomp_load(filter) : -EINVAL;
  seccomp_release(filter);
  errno = -error;
  return error == 0;
}

/* A handler has nowhere else to note that it ran; the process has one thread and locks itself in once. */
static volatile sig_atomic_t trapped;

static void on_trap(int signal_number) {
  (void)signal_number;
  trapped++;
}

static bool is_trapped(long call, long a, long b, long c) {
  sig_atomic_t before = trapped;
  syscall(call, a, b, c, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* the last three are mmap's */
  return trapped == before + 1;
}

/* Each call is made so that it does nothing should it pass. */
static bool try_calls(weir_sandbox_proof *proof) {
  static const struct {
    long call, a, b, c;
    const char *what;
  } tries[] = {
    { SYS_socket, AF_INET, SOCK_STREAM, 0, "socket" }, { SYS_socket, AF_UNIX, SOCK_STREAM, 0, "a local socket" },
    { SYS_connect, -1, 0, 0, "connect" }, { SYS_sendto, -1, 0, 0, "sendto" },
    { SYS_openat, -1, 0, 0, "openat" }, { SYS_unlinkat, -1, 0, 0, "unlinkat" },
    { SYS_renameat2, -1, 0, -1, "rename" }, { SYS_getdents64, -1, 0, 0, "getdents" },
    { SYS_execve, 0, 0, 0, "execve" }, { SYS_clone, 0x10000, 0, 0, "clone" }, { SYS_clone3, 0, 0, 0, "clone3" },
    { SYS_kill, 0, 0, 0, "kill" }, { SYS_tgkill, 0, 0, 0, "tgkill" }, { SYS_ptrace, -1, 0, 0, "ptrace" },
    { SYS_process_vm_readv, 0, 0, 0, "the memory of another process" }, { SYS_getppid, 0, 0, 0, "getppid" },
    { SYS_memfd_create, 0, 0, 0, "memfd_create" }, { SYS_shmget, 0, 0, 0, "shared memory" },
    { SYS_mq_open, 0, 0, 0, "message queues" }, { SYS_keyctl, -1, 0, 0, "keys" },
    { SYS_clock_settime, -1, 0, 0, "setting a clock" }, { SYS_mount, 0, 0, 0, "mount" },
    { SYS_unshare, 0, 0, 0, "namespaces" }, { SYS_bpf, -1, 0, 0, "bpf" },
    { SYS_io_uring_setup, 0, 0, 0, "io_uring" }, { SYS_userfaultfd, -1, 0, 0, "userfaultfd" },
    { SYS_perf_event_open, 0, 0, 0, "perf" }, { SYS_prlimit64, 0, 0, 0, "limits" },
    { SYS_rt_sigaction, -1, 0, 0, "handlers of signals" }, { SYS_dup, -1, 0, 0, "dup" },
    { SYS_read, 1, 0, 0, "reading from the output" }, { SYS_write, 2, 0, 0, "writing to another descriptor" },
    { SYS_mprotect, 0, 0, PROT_EXEC, "mprotect" }, { SYS_mmap, 0, 4096, PROT_EXEC, "memory for code" },
    { SYS_setuid, -1, 0, 0, "setuid" }, { SYS_inotify_init1, -1, 0, 0, "watching files" },
  };
  for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
    errno = 0;
    if (!is_trapped(tries[i].call, tries[i].a, tries[i].b, tries[i].c)) return fail(proof, tries[i].what);
    proof->refused++;
  }
  return true;
}

/* A first filter turns a forbidden call into a signal, so that each can be tried; the second, with the
 * same list, ends the process. The stricter of two answers is the kernel's. */
static bool wall_off_calls(weir_sandbox_proof *proof) {
  struct sigaction action = { .sa_handler = on_trap };
  if (sigaction(SIGSYS, &action, NULL) != 0) return fail(proof, "SIGSYS cannot be caught");
  if (!load_filter(SCMP_ACT_TRAP, true)) return fail(proof, "seccomp does not take the filter");
  if (!try_calls(proof)) return false;
  if (!load_filter(SCMP_ACT_KILL_PROCESS, false)) return fail(proof, "seccomp does not take the second filter");
  return true;
}

bool weir_sandbox_lock(const weir_sandbox_limits *limits, weir_sandbox_proof *proof) {
  memset(proof, 0, sizeof *proof);
  errno = 0;
  return give_up_privileges(proof) && wall_off_files(proof) && set_limits(limits, proof) &&
         wall_off_calls(proof);
}
