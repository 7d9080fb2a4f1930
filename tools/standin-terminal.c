#include "standin-terminal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { LEAST_FD = 100, PATIENCE_MS = 500, STEP_MS = 5 };

static bool make_pair(struct vcr_terminal *t)
{
	char name[64];
	t->inner = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->inner < 0)
		return false;
	if (!grantpt(t->inner) && !unlockpt(t->inner) && !ptsname_r(t->inner, name, sizeof name))
		t->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return t->slave >= 0;
}

static void give_up(struct vcr_terminal *t)
{
	int *const all[] = { &t->inner, &t->slave, &t->outer };
	for (int i = 0; i < 3; i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

/* One before us on the same terminal may still be putting it back as it was: its process holds the lock until then. One that goes on (a program was left behind) keeps it. */
static bool take_outer(struct vcr_terminal *t, int fd)
{
	char path[40];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	t->outer = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC); /* a description of its own, which nobody shares who could keep the lock */
	for (int ms = 0; t->outer >= 0 && ms < PATIENCE_MS; ms += STEP_MS) {
		if (!flock(t->outer, LOCK_EX | LOCK_NB))
			return true;
		poll(NULL, 0, STEP_MS);
	}
	return false;
}

/* Between 3 and LEAST_FD there may be what the program inherits. */
static bool move_away(struct vcr_terminal *t)
{
	int *const all[] = { &t->inner, &t->slave, &t->outer };
	for (int i = 0; i < 3; i++) {
		int high = fcntl(*all[i], F_DUPFD_CLOEXEC, LEAST_FD);
		if (high < 0)
			return false;
		close(*all[i]);
		*all[i] = high;
	}
	return true;
}

bool vcr_terminal_leads(int fd)
{
	return getsid(0) == getpid() && tcgetsid(fd) == getpid();
}

/* A session that loses its terminal is told so. */
static void leave_terminal(int fd)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, hup;
	sigaction(SIGHUP, &ignore, &hup);
	ioctl(fd, TIOCNOTTY);
	sigaction(SIGHUP, &hup, NULL);
}

bool vcr_terminal_begin(struct vcr_terminal *t, int fd)
{
	struct termios modes;
	struct winsize size;
	*t = (struct vcr_terminal){ .inner = -1, .outer = -1, .slave = -1 };
	t->leads = vcr_terminal_leads(fd);
	if (!t->leads && tcgetsid(fd) == getsid(0))
		return false; /* it may be in the background there */
	if (!take_outer(t, fd) || tcgetattr(fd, &modes) || !make_pair(t) || !move_away(t) || tcsetattr(t->slave, TCSANOW, &modes)) {
		give_up(t);
		return false;
	}
	if (!ioctl(fd, TIOCGWINSZ, &size))
		ioctl(t->slave, TIOCSWINSZ, &size);
	cfmakeraw(&modes);
	tcsetattr(t->outer, TCSANOW, &modes);
	if (t->leads)
		leave_terminal(t->outer);
	return true;
}

static bool is_same(int fd, const struct stat *outer)
{
	struct stat st;
	return !fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == outer->st_rdev;
}

void vcr_terminal_enter(struct vcr_terminal *t)
{
	struct stat st;
	if (t->leads)
		ioctl(t->slave, TIOCSCTTY, 0);
	for (int fd = 0; fd < 3 && !fstat(t->outer, &st); fd++)
		if (is_same(fd, &st))
			dup2(t->slave, fd);
	give_up(t);
}

void vcr_terminal_undo(struct vcr_terminal *t)
{
	struct termios modes;
	if (!tcgetattr(t->slave, &modes))
		tcsetattr(t->outer, TCSANOW, &modes);
	if (t->leads)
		ioctl(t->outer, TIOCSCTTY, 0);
	give_up(t);
}

void vcr_terminal_copies(struct vcr_terminal *t)
{
	close(t->slave);
	t->slave = -1;
	if (t->leads)
		ioctl(t->outer, TIOCSCTTY, 0); /* to hear of its size, as its foreground */
	fcntl(t->inner, F_SETFL, O_RDWR | O_NONBLOCK);
}

bool vcr_terminal_typed(struct vcr_terminal *t)
{
	ssize_t n = read(t->outer, t->text, sizeof t->text);
	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	t->typed = (size_t)n;
	t->at = 0;
	vcr_terminal_type(t);
	return true;
}

void vcr_terminal_type(struct vcr_terminal *t)
{
	ssize_t n = t->at < t->typed ? write(t->inner, t->text + t->at, t->typed - t->at) : 0;
	if (n > 0)
		t->at += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		t->at = t->typed; /* nobody takes it */
}

void vcr_terminal_resized(struct vcr_terminal *t)
{
	struct winsize size;
	if (!ioctl(t->outer, TIOCGWINSZ, &size))
		ioctl(t->inner, TIOCSWINSZ, &size);
}

void vcr_terminal_end(struct vcr_terminal *t)
{
	struct termios modes;
	if (!tcgetattr(t->inner, &modes))
		tcsetattr(t->outer, TCSANOW, &modes);
}

/* ---- Written again ---- */

struct vcr_terminal_modes { struct termios modes; };

struct vcr_terminal_modes *vcr_terminal_bare(int fd)
{
	struct vcr_terminal_modes *before = malloc(sizeof *before);
	if (!before || tcgetattr(fd, &before->modes)) {
		free(before);
		return NULL;
	}
	struct termios bare = before->modes;
	cfmakeraw(&bare); /* what is typed has been echoed, and has had its effect */
	tcsetattr(fd, TCSANOW, &bare);
	return before;
}

bool vcr_terminal_await(int fd, size_t typed)
{
	char text[512];
	while (typed) {
		ssize_t n = read(fd, text, typed < sizeof text ? typed : sizeof text);
		if (n <= 0 && !(n < 0 && errno == EINTR))
			return false;
		typed -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

void vcr_terminal_dress(int fd, struct vcr_terminal_modes *before, bool used)
{
	if (before && used)
		tcsetattr(fd, TCSANOW, &before->modes);
	free(before);
}
