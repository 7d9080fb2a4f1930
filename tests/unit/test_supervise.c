/* Whose call it is that the kernel tells of: what of a process's code is the library's to tell of, and whether a number is still that process's. */
#include "supervise-parts.h"
#include "tap.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, MAPPINGS = 600 };

static struct vcr_supervise *supervisor(void)
{
	struct vcr_supervise *s = calloc(1, sizeof *s);
	ck_assert_ptr_nonnull(s);
	return s;
}

static uint64_t number_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* A file that is named as the library is. */
static void make_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0700);
	ck_assert_int_eq(ftruncate(fd, PAGE), 0);
	close(fd);
}

static uint64_t map_file(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	void *code = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	ck_assert_ptr_ne(code, MAP_FAILED);
	return number_of(code);
}

/* This process gets code of such a file, which is gone then. */
static uint64_t load_library(void)
{
	char dir[] = "test_supervise.XXXXXX", name[sizeof dir + 20];
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(name, sizeof name, "%s/libvcrshim.so", dir);
	make_file(name);
	uint64_t code = map_file(name);
	unlink(name);
	rmdir(dir);
	return code;
}

static uint64_t libc_code(void)
{
	return number_of(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"));
}

/* So many that their table is not read at once. */
static void map_much(void)
{
	for (int i = 0; i < MAPPINGS; i++)
		ck_assert_ptr_ne(mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
}

START_TEST(code_is_the_library_s_or_the_c_library_s_that_it_stands_before)
{
	struct vcr_supervise *s = supervisor();
	struct vcr_seen p = { .tid = getpid(), .proc = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	const bool by_table = _i == 0;
	if (_i == 2)
		vcr_code_hold(s);
	ck_assert_uint_ne(libc_code(), 0);
	vcr_seen_learn_code(s, &p, by_table);
	ck_assert(!p.hooked);
	ck_assert(!vcr_seen_by_library(&p, libc_code()));
	map_much();
	uint64_t ours = load_library();
	map_much();
	vcr_seen_learn_code(s, &p, by_table);
	ck_assert(p.hooked);
	ck_assert(vcr_seen_by_library(&p, ours + 8));
	ck_assert(vcr_seen_by_library(&p, libc_code()));
	ck_assert(!vcr_seen_by_library(&p, ours - PAGE));
	ck_assert(!vcr_seen_by_library(&p, number_of((const void *)load_library)));
	struct vcr_seen again = p;
	vcr_seen_learn_code(s, &again, by_table);
	ck_assert_int_eq(again.ncode, p.ncode);
	ck_assert_mem_eq(again.code, p.code, (size_t)p.ncode * sizeof *p.code);
	ck_assert_int_eq(again.hooked, p.hooked);
	vcr_code_release(s);
	free(s);
	close(p.proc);
}
END_TEST

static int held_of_ours(const struct vcr_supervise *s)
{
	int n = 0;
	for (int i = 0; i < s->nheld; i++)
		n += s->held[i].kind == VCR_CODE_OURS && s->held[i].page;
	return n;
}

START_TEST(a_file_s_number_stands_for_the_library_only_while_it_can_be_no_other_s)
{
	struct vcr_supervise *s = supervisor();
	struct vcr_seen p = { .tid = getpid(), .proc = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	char dir[] = "test_supervise.XXXXXX", name[PATH_MAX], other[PATH_MAX + 10];
	vcr_code_hold(s);
	if (!s->nheld)
		TAP_SKIP("this kernel does not say whose code is where, or the C library is no file here");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_ptr_nonnull(realpath(dir, name));
	strcat(name, "/libvcrshim.so");
	make_file(name);
	map_file(name);
	snprintf(other, sizeof other, "%s.new", name);
	make_file(other);
	ck_assert_int_eq(rename(other, name), 0);
	vcr_seen_learn_code(s, &p, false);
	ck_assert(p.hooked);
	ck_assert_int_eq(held_of_ours(s), 0);
	map_file(name);
	vcr_seen_learn_code(s, &p, false);
	ck_assert_int_eq(held_of_ours(s), 1);
	vcr_seen_learn_code(s, &p, false);
	ck_assert(p.hooked);
	ck_assert_int_eq(held_of_ours(s), 1);
	vcr_code_release(s);
	unlink(name);
	rmdir(dir);
	close(p.proc);
	free(s);
}
END_TEST

/* A child that has the library or not, under that number if it is none of 0; 0: this machine does not give numbers away. */
static pid_t child(pid_t number, bool has_library)
{
	pid_t set[] = { number };
	struct clone_args a = { .exit_signal = SIGCHLD, .set_tid = number ? number_of(set) : 0, .set_tid_size = number != 0 };
	int ready[2];
	char byte;
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (pid == 0) {
		if (has_library)
			load_library();
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	ck_assert(pid < 0 || read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	return pid > 0 ? pid : 0;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(a_number_that_another_process_has_got_is_that_one_s)
{
	struct vcr_supervise *s = supervisor();
	pid_t pid = child(0, true);
	ck_assert_int_gt(pid, 0);
	ck_assert(vcr_seen_of(s, pid)->hooked);
	ck_assert(vcr_seen_whole(s, vcr_seen_of(s, pid)));
	end(pid);
	ck_assert_ptr_null(vcr_seen_of(s, pid));
	pid_t again = child(pid, true);
	if (!again)
		TAP_SKIP("who starts a process cannot give it a number here");
	ck_assert(vcr_seen_of(s, pid)->hooked);
	end(again);
	again = child(pid, false);
	ck_assert_int_eq(again, pid);
	ck_assert(!vcr_seen_of(s, pid)->hooked);
	end(again);
	vcr_seen_release(s);
	free(s);
}
END_TEST

static int thread_number;

static void *sleep_long(void *barrier)
{
	thread_number = (int)syscall(SYS_gettid);
	pthread_barrier_wait(barrier);
	pause();
	return NULL;
}

START_TEST(a_program_that_a_thread_becomes_is_looked_at_again_under_its_process_s_number)
{
	struct vcr_supervise *s = supervisor();
	pthread_barrier_t started;
	pthread_t thread;
	pthread_barrier_init(&started, NULL, 2);
	ck_assert_int_eq(pthread_create(&thread, NULL, sleep_long, &started), 0);
	pthread_barrier_wait(&started);
	ck_assert(!vcr_seen_of(s, getpid())->hooked);
	ck_assert(!vcr_seen_of(s, thread_number)->hooked);
	load_library();
	ck_assert(!vcr_seen_of(s, getpid())->hooked);
	vcr_seen_becomes_another(s, thread_number);
	ck_assert(vcr_seen_of(s, getpid())->hooked);
	vcr_seen_release(s);
	free(s);
}
END_TEST

START_TEST(what_a_path_leads_to_is_looked_at_from_where_the_process_is)
{
	struct vcr_supervise *s = supervisor();
	struct vcr_seen *p = vcr_seen_of(s, getpid());
	struct stat st;
	char dir[] = "test_supervise.XXXXXX", name[sizeof dir + 20], deep[PATH_MAX];
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(name, sizeof name, "%s/link", dir);
	ck_assert_int_eq(symlink("nowhere", name), 0);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(vcr_seen_stat(p, AT_FDCWD, number_of(name), AT_SYMLINK_NOFOLLOW, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(vcr_seen_stat(p, fd, number_of("link"), AT_SYMLINK_NOFOLLOW, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(vcr_seen_stat(p, fd, number_of("link"), 0, &st), -ENOENT);
	ck_assert_int_eq(vcr_seen_stat(p, fd, number_of("/"), 0, &st), 0);
	ck_assert_int_eq(vcr_seen_stat(p, fd, 0, 0, &st), -EFAULT);
	memset(deep, 'x', sizeof deep);
	for (size_t i = 100; i < sizeof deep; i += 100)
		deep[i] = '/';
	deep[sizeof deep - 1] = 0;
	int err = vcr_seen_stat(p, fd, number_of(deep), 0, &st);
	ck_assert(err == -ENAMETOOLONG || err == -ENOENT);
	unlink(name);
	rmdir(dir);
	close(fd);
	vcr_seen_release(s);
	free(s);
}
END_TEST

START_TEST(a_workspace_in_a_directory_that_never_matters_does)
{
	struct vcr_supervise *s = supervisor();
	strcpy(s->workspace, "/home/project");
	s->workspace_length = strlen(s->workspace);
	ck_assert(vcr_supervise_is_elsewhere(s, "/dev/null"));
	strcpy(s->workspace, "/dev/shm/project");
	s->workspace_length = strlen(s->workspace);
	char inside[PATH_MAX] = "/dev/shm/project/file", beside[PATH_MAX] = "/dev/shm/projects/file", around[PATH_MAX] = "/proc/../dev/shm/project/file";
	ck_assert(!vcr_supervise_is_elsewhere(s, inside));
	ck_assert(vcr_supervise_matters(s, inside));
	ck_assert(vcr_supervise_is_elsewhere(s, beside));
	ck_assert(!vcr_supervise_matters(s, beside));
	ck_assert(!vcr_supervise_is_elsewhere(s, around));
	ck_assert(!vcr_supervise_is_elsewhere(s, "dev/null"));
	ck_assert(!vcr_supervise_is_elsewhere(s, "/devices/null"));
	free(s);
}
END_TEST

static TCase *tc_supervise(void)
{
	TCase *tc = tcase_create("supervise");
	tcase_add_loop_test(tc, code_is_the_library_s_or_the_c_library_s_that_it_stands_before, 0, 3);
	tcase_add_test(tc, a_file_s_number_stands_for_the_library_only_while_it_can_be_no_other_s);
	tcase_add_test(tc, a_number_that_another_process_has_got_is_that_one_s);
	tcase_add_test(tc, a_program_that_a_thread_becomes_is_looked_at_again_under_its_process_s_number);
	tcase_add_test(tc, what_a_path_leads_to_is_looked_at_from_where_the_process_is);
	tcase_add_test(tc, a_workspace_in_a_directory_that_never_matters_does);
	return tc;
}

TAP_MAIN_SKIPPING("supervise", tc_supervise)
