/* SPDX-License-Identifier: MIT */
/* Leases, and the signal that comes with them. */
#include "store/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>

/* SIGIO would end a process that does not expect it. */
static void ignore_sigio(void)
{
	struct sigaction now;

	if (sigaction(SIGIO, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL) {
		now.sa_handler = SIG_IGN;
		sigaction(SIGIO, &now, NULL);
	}
}

int ay__lease_take(int fd)
{
	ignore_sigio();
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
		return 0;
	return errno == EAGAIN || errno == EBUSY ? 1 : -errno;
}

bool ay__lease_broken(int fd)
{
	return fcntl(fd, F_GETLEASE) != F_RDLCK;
}

void ay__lease_drop(int fd)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
}
