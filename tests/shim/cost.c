/* cost.c — N calls of one kind on a descriptor that does not matter: cost HOW N, HOW write read send close open. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char c = 0;
	int n = argc == 3 ? atoi(argv[2]) : 0, out = open("/dev/null", O_WRONLY), in = open("/dev/zero", O_RDONLY), pair[2];
	if (argc != 3 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
		return 2;
	char how = *argv[1]; /* a comparison of texts costs as they lie in memory */
	for (int i = 0; i < n; i++)
		if (how == 'w')
			n -= write(out, &c, 1) != 1;
		else if (how == 'r')
			n -= read(in, &c, 1) != 1;
		else if (how == 'c')
			close(-1);
		else if (how == 'o')
			close(open("/dev/null", O_RDONLY));
		else if (send(pair[0], &c, 1, 0) != 1 || recv(pair[1], &c, 1, 0) != 1)
			return 1;
	return 0;
}
