#include "sealkey.h"
#include "buf.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int vcr_sealkey_read(const char *path, unsigned char key[VCR_SEALKEY], struct vcr_error *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? vcr_error_set(e, VCR_ENOTFOUND, "%s is missing", path) : vcr_error_sys(e, errno, "%s", path);
	bool good = !fstat(fd, &st) && S_ISREG(st.st_mode) && read(fd, key, VCR_SEALKEY) == VCR_SEALKEY;
	close(fd);
	return good ? 0 : vcr_error_set(e, VCR_ECORRUPT, "%s is no key: what it sealed cannot be opened", path);
}

/* Under a name of its own, then linked. */
static int put(const char *path, const unsigned char key[VCR_SEALKEY], struct vcr_error *e)
{
	VCR_AUTO_BUF temp = VCR_BUF_INIT;
	vcr_buf_printf(&temp, "%s.%d", path, (int)getpid());
	unlink(temp.data);
	int fd = open(temp.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), err = 0;
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", temp.data);
	if (write(fd, key, VCR_SEALKEY) != VCR_SEALKEY || fsync(fd) || (link(temp.data, path) && errno != EEXIST))
		err = vcr_error_sys(e, errno, "cannot make %s", path);
	close(fd);
	unlink(temp.data);
	return err;
}

int vcr_sealkey_make(const char *path, struct vcr_error *e)
{
	unsigned char key[VCR_SEALKEY];
	if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
		return vcr_error_sys(e, errno, "no random bytes for %s", path);
	int err = put(path, key, e);
	explicit_bzero(key, sizeof key);
	return err;
}

int vcr_sealkey_share(const char *from, const char *to, struct vcr_error *e)
{
	unsigned char key[VCR_SEALKEY];
	int err = vcr_sealkey_make(from, e);
	if (!err && !(err = vcr_sealkey_read(from, key, e)))
		err = put(to, key, e);
	explicit_bzero(key, sizeof key);
	return err;
}
