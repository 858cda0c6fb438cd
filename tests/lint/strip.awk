# SPDX-License-Identifier: MIT
# C source without comments and without what is inside strings and character constants, one line of output
# for each of input, as FILE:LINE:CODE. With -v keep=1 strings stay (for #include "...").
FNR == 1 { inside = 0 }
{
	out = ""
	n = length($0)
	for (i = 1; i <= n; i++) {
		c = substr($0, i, 1)
		two = substr($0, i, 2)
		if (inside) {
			if (two == "*/") {
				inside = 0
				out = out " "
				i++
			}
		} else if (two == "/*") {
			inside = 1
			i++
		} else if (two == "//") {
			break
		} else if (c == "\"" || c == "'") {
			start = i
			for (i++; i <= n && (e = substr($0, i, 1)) != c; i++)
				if (e == "\\")
					i++
			out = out (keep ? substr($0, start, i - start + 1) : c c)
		} else {
			out = out c
		}
	}
	print FILENAME ":" FNR ":" out
}
