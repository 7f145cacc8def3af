"""Inputs of which something did not hold once, made small: by what was wrong with them."""

_LOOP = b"data_x\nloop_\n_a\n_b\n"

FOUND = {
    "a fault behind lines that end with CR CR LF made a piece come back for ever": (
        _LOOP.replace(b"\n", b"\r\r\r\n") + b"1 2\r\r\r\n" * 9 + b"\x1a1 2\r\r\r\n" + b"1 2\r\r\r\n" * 9
    ),
    "labels that stand behind rows were taken for labels of the loop by a piece": (
        _LOOP + b"1 2\n" * 8 + b"_c #3\n_d #4\n" + b"1 2\n" * 8
    ),
    "a pair whose value stands on the next line, behind rows": (_LOOP + b"1 2\n" * 8 + b"_c\nx y 3\n" + b"1 2\n" * 8),
    "bytes that are not UTF-8 were wiped out by their own error, and rows with them": (
        b"data_\nloop_\n_e\n_l\n0 1 . 0\ns 0 0 0\n0 . 0\n0mrcs \xe41 0.0 0.0010032@toy 0.000000 0.000000 0.1\xb6"
    ),
    "one such byte, and rows that end on another line than they begin": (
        b"data_\nloop_ _l\n_r\nin_s De\ne e  nr  25\n t   \n      Yes\xc3"
    ),
    "a label that stands twice was told of for each piece": _LOOP + b"_a #3\n" + b"1 2 3\n" * 9,
    "a file was said to be cut short where a piece was": _LOOP + b"1 2\n" * 8 + b"'' #4\n" + b"1 2\n" * 8,
    "a piece that was taken to begin in another loop was refused for that, because of a byte that is not UTF-8": (
        _LOOP + b"1 2\n" * 20 + b"\ndata_y\nloop_\n_c\n_d\n_e\n" + b"1 2 3\n" * 4 + b"1 \xff 3\n1 2 3\n"
    ),
    "words before the first block that hold loop_ were all of a file that a piece had": (
        b"a loop_ of words\nand more\nand more\n\n" + _LOOP + b"1 2\n" * 4
    ),
    "values were expected behind a pair, because rows in front of a piece were forgotten": (
        b"data_\nloop_\n_r\n_2\nr _\n\n_n ''\na"
    ),
    "rows of a loop in which a label stands twice, and another loop in the same piece": (
        _LOOP + b"_a #3\n" + b"1 2 3\n" * 6 + b"\ndata_y\nloop_\n_a\n_b\n" + b"1 2\n" * 3
    ),
}
