/* terminal.c - what only the system knows of the terminal: its size, what it answers when asked, and
 * single keys.
 *
 * A terminal that is asked writes its answer to the keyboard's line, so for the time of the question
 * nothing typed is echoed and nothing waits for Enter. What the user types meanwhile would be lost;
 * the time is short, and a terminal that knows the question answers at once.
 */
#include "host/host.h"

#include "base/base.h"

#include <lauxlib.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* terminal(fd) -> whether it is one */
static int terminal(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* window(fd) -> columns, rows, width and height in pixels (0 when it does not say); nothing when it
 * is no terminal */
static int window(lua_State *L)
{
    struct winsize size;

    if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size))
        return 0;
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    lua_pushinteger(L, size.ws_xpixel);
    lua_pushinteger(L, size.ws_ypixel);
    return 4;
}

/* Nothing typed is echoed, and nothing waits for Enter. */
static bool without_lines(struct termios *before)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, before))
        return false;
    raw = *before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    return !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* key(seconds) -> the next byte typed, on a terminal without waiting for Enter; nothing when the time
 * is over or a signal came, "" when the input has ended */
static int key(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    struct pollfd input = { STDIN_FILENO, POLLIN, 0 };
    struct termios before;
    bool terminal = isatty(STDIN_FILENO) && without_lines(&before);
    int count = 0;
    char byte;

    fflush(stdout);
    if (poll(&input, 1, (int)(1000 * (seconds < 0 ? 0 : seconds > 3600 ? 3600 : seconds))) > 0) {
        count = (int)read(STDIN_FILENO, &byte, 1);
        if (count >= 0)
            lua_pushlstring(L, &byte, (size_t)count);
        count = count >= 0;
    }
    if (terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return count;
}

/* ask(question, last, seconds) -> what the terminal answers, up to the character `last`; what came
 * until then when the time is over */
static int ask(lua_State *L)
{
    size_t count;
    const char *question = luaL_checklstring(L, 1, &count);
    char last = *luaL_checkstring(L, 2);
    double end = base_seconds() + luaL_checknumber(L, 3);
    struct termios before;
    char answer[256];
    size_t n = 0;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !without_lines(&before))
        return 0;
    if (write(STDOUT_FILENO, question, count) == (ssize_t)count) {
        while (n < sizeof(answer)) {
            struct pollfd input = { STDIN_FILENO, POLLIN, 0 };
            double left = end - base_seconds();

            if (left <= 0 || poll(&input, 1, (int)(1000 * left) + 1) <= 0 ||
                read(STDIN_FILENO, answer + n, 1) != 1 || answer[n++] == last)
                break;
        }
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    lua_pushlstring(L, answer, n);
    return 1;
}

void host_terminal_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "terminal", terminal },
        { "window", window },
        { "ask", ask },
        { "key", key },
        { NULL, NULL },
    };

    luaL_register(L, NULL, functions);
}
