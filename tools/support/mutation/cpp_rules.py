# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The rules for C++, on clang's syntax tree (libclang). Only code that runs is looked at: bodies of functions, without
what the compiler evaluates itself."""
import re
import sys
from pathlib import Path

from mutation.sites import Site, Wrap

_BOUNDS = {'<': ('lt', '<='), '<=': ('le', '<'), '>': ('gt', '>='), '>=': ('ge', '>')}
_FUNCTIONS = {'FUNCTION_DECL', 'CXX_METHOD', 'CONSTRUCTOR', 'DESTRUCTOR', 'FUNCTION_TEMPLATE', 'CONVERSION_FUNCTION',
              'LAMBDA_EXPR'}
_NEVER = {'STATIC_ASSERT', 'REQUIRES_EXPR', 'CONCEPT_DECL', 'ENUM_DECL', 'CXX_UNARY_EXPR', 'TYPE_ALIAS_DECL',
          'ASM_STMT', 'ATTRIBUTE_REF'}
_STATEMENTS = {'CALL_EXPR', 'COMPOUND_ASSIGNMENT_OPERATOR', 'UNARY_OPERATOR', 'BINARY_OPERATOR', 'UNEXPOSED_EXPR'}
_NUMBER = re.compile(r'(0[xX][0-9A-Fa-f\']+|0[bB][01\']+|[0-9][0-9\']*)[uUlLzZ]*')
_CONSTANT = re.compile(r'(?:\w+::)*k[A-Z]\w*')


def load_libclang(package: Path | None):
    """clang.cindex, from the system or from an unpacked python3-clang-19."""
    if package is not None:
        sys.path.insert(0, str(package))
    import clang.cindex as cindex
    if not cindex.Config.loaded:
        for name in ('/usr/lib/llvm-19/lib/libclang-19.so.1', '/usr/lib/llvm-19/lib/libclang.so.1'):
            if Path(name).exists():
                cindex.Config.set_library_file(name)
                break
    return cindex


class Finder:
    """Collects the sites of the files below `root` that `wanted(relative path)` names, over any number of units."""

    def __init__(self, cindex, root: Path, wanted):
        self.cindex, self.root, self.wanted = cindex, root, wanted
        self.sites: dict[tuple, Site] = {}
        self.sources: dict[str, bytes] = {}
        self.seen: set[str] = set()

    def unit(self, path: Path, arguments: list[str]) -> list[str]:
        """Parses one unit; returns clang's errors, which make its sites untrustworthy."""
        parsed = self.cindex.Index.create().parse(str(path), args=arguments)
        errors = [str(d) for d in parsed.diagnostics if d.severity >= 3]
        if not errors:
            # A file that an earlier unit had is complete: its text is the same in each.
            before = set(self.seen)
            self._declarations(parsed.cursor, before)
        return errors

    def _relative(self, cursor) -> str | None:
        file = cursor.location.file
        if file is None:
            return None
        try:
            return str(Path(file.name).resolve().relative_to(self.root))
        except ValueError:
            return None

    def _declarations(self, cursor, before) -> None:
        for child in cursor.get_children():
            name = self._relative(child)
            if name is None:
                continue
            if self.wanted(name) and name not in before:
                if name not in self.sources:
                    self.sources[name] = (self.root / name).read_bytes()
                self.seen.add(name)
                self._declaration(child, name)
            elif child.kind.name in ('NAMESPACE', 'LINKAGE_SPEC'):
                self._declarations(child, before)

    def _declaration(self, cursor, name) -> None:
        kind = cursor.kind.name
        if kind in _NEVER:
            return
        if kind in _FUNCTIONS:
            head = self._text(name, cursor.extent.start.offset, cursor.extent.end.offset).split('{', 1)[0]
            if 'consteval' not in head and 'naked' not in head:
                for child in cursor.get_children():
                    if child.kind.name == 'COMPOUND_STMT':
                        self._visit(child, name)
            return
        for child in cursor.get_children():
            if self._relative(child) == name:
                self._declaration(child, name)

    # --- inside a body ---

    def _text(self, name, begin, end) -> str:
        return self.sources[name][begin:end].decode('utf-8', 'replace')

    def _range(self, cursor, name):
        """Offsets of a node that stands in the file as it is; None for what a macro made."""
        start, end = cursor.extent.start, cursor.extent.end
        if start.file is None or self._relative(cursor) != name or end.offset <= start.offset:
            return None
        if str(Path(start.file.name).resolve()) != str(self.root / name):
            return None
        text = self._text(name, start.offset, end.offset)
        return None if re.search(r'\bMM_[A-Z_]+\s*\(', text) or '#' in text else (start.offset, end.offset)

    def _visit(self, cursor, name) -> None:
        kind = cursor.kind.name
        if kind in _NEVER:
            return
        if kind == 'LAMBDA_EXPR':
            for child in cursor.get_children():
                if child.kind.name == 'COMPOUND_STMT':
                    self._visit(child, name)
            return
        if kind in ('VAR_DECL', 'DECL_STMT'):
            span = self._range(cursor, name)
            if span and re.match(r'\s*(static\s+)?(constexpr|constinit)\b|\s*using\b', self._text(name, *span)):
                return
        children = list(cursor.get_children())
        if kind == 'VAR_DECL' and 'ARRAY' in cursor.type.kind.name:
            children = [c for c in children if c.kind.name == 'INIT_LIST_EXPR']  # the bound is the compiler's
        if kind == 'COMPOUND_STMT':
            self._statements(children, name)
        elif kind in ('IF_STMT', 'WHILE_STMT'):
            children = self._condition(cursor, children, name, kind)
        elif kind == 'CONDITIONAL_OPERATOR' and len(children) == 3:
            self._negate(children[0], name)
        elif kind == 'CASE_STMT':
            children = children[1:]
        elif kind == 'BINARY_OPERATOR' and len(children) == 2:
            self._binary(cursor, children, name)
        elif kind == 'INTEGER_LITERAL':
            self._literal(cursor, name)
        elif kind == 'DECL_REF_EXPR':
            self._constant(cursor, name)
        for child in children:
            self._visit(child, name)

    def _add(self, cursor, name, rule, change, *wraps) -> None:
        location = cursor.extent.start
        site = Site(name, location.line, location.column, rule, change, list(wraps))
        self.sites.setdefault((name, location.offset, cursor.extent.end.offset, rule, change), site)

    def _short(self, name, span) -> str:
        text = ' '.join(self._text(name, *span).split())
        return text if len(text) <= 70 else text[:67] + '...'

    def _negate(self, cursor, name) -> None:
        if span := self._range(cursor, name):
            self._add(cursor, name, 'negated condition', f'{self._short(name, span)}  ->  its opposite',
                      Wrap(*span, '(::mutant::active<@>() != static_cast<bool>(', '))'))

    def _condition(self, cursor, children, name, kind):
        """The condition of an if or while; returns the children that are still to be visited."""
        span = (cursor.extent.start.offset, cursor.extent.end.offset)
        if re.match(r'if\s+(constexpr|consteval|!)', self._text(name, *span)):
            return [c for c in children if c.kind.name.endswith('_STMT')]
        body = next((i for i, c in enumerate(children) if c.kind.name.endswith('_STMT') and c.kind.name != 'DECL_STMT'), 0)
        if body == 0 or children[body - 1].kind.name in ('VAR_DECL', 'DECL_STMT'):
            return children
        condition = children[body - 1]
        if any(c.kind.name == 'VAR_DECL' and c.extent.start.offset <= condition.extent.start.offset < c.extent.end.offset
               for c in children[:body - 1]):
            return children
        self._negate(condition, name)
        if kind == 'IF_STMT' and (span := self._range(condition, name)):
            self._add(condition, name, 'dropped condition', f'if ({self._short(name, span)})  ->  if (false)',
                      Wrap(*span, '(!::mutant::active<@>() && (', '))'))
        return children

    def _binary(self, cursor, children, name) -> None:
        left, right = (self._range(c, name) for c in children)
        if not left or not right or not self._range(cursor, name):
            return
        between = self._text(name, left[1], right[0])
        operator = between.strip()
        if operator in ('&&', '||'):
            neutral = 'true' if operator == '&&' else 'false'
            for child, span in zip(children, (left, right)):
                text = '(::mutant::active<@>() || (' if operator == '&&' else '(!::mutant::active<@>() && ('
                self._add(child, name, 'dropped condition', f'{self._short(name, span)}  ->  {neutral}',
                          Wrap(*span, text, '))'))
        elif operator in _BOUNDS:
            function, other = _BOUNDS[operator]
            at = left[1] + len(between) - len(between.lstrip())
            whole = self._range(cursor, name)
            self._add(cursor, name, 'wrong bound',
                      f'{self._short(name, whole)}  ->  {other}',
                      Wrap(*whole, f'::mutant::{function}<@>(', ')', inner=True), Wrap(at, at, ',', '', len(operator)))

    def _literal(self, cursor, name) -> None:
        span = self._range(cursor, name)
        if span and _NUMBER.fullmatch(self._text(name, *span)) and self._runs(name, span):
            text = self._text(name, *span)
            self._add(cursor, name, 'wrong constant', f'{text}  ->  {text} + 1', Wrap(*span, '::mutant::off<@>(', ')'))

    def _constant(self, cursor, name) -> None:
        span = self._range(cursor, name)
        kind = cursor.type.get_canonical().kind.name
        if not span or not _CONSTANT.fullmatch(self._text(name, *span)) or not self._runs(name, span):
            return
        if kind not in ('UCHAR', 'USHORT', 'UINT', 'ULONG', 'ULONGLONG', 'INT', 'LONG', 'LONGLONG'):
            return
        text = self._text(name, *span)
        flag = self._is_flag(name, span)
        self._add(cursor, name, 'wrong constant', f'{text}  ->  {"0" if flag else text + " + 1"}',
                  Wrap(*span, '::mutant::none<@>(' if flag else '::mutant::off<@>(', ')'))

    def _is_flag(self, name, span) -> bool:
        before = self._text(name, max(0, span[0] - 3), span[0]).rstrip()[-1:]
        after = self._text(name, span[1], span[1] + 4).lstrip()[:2]
        return before in ('|', '&', '~') or (after[:1] in ('|', '&') and after not in ('||', '&&'))

    def _runs(self, name, span) -> bool:
        """Not a template argument, an array bound of a declaration, or an alignment: those are the compiler's."""
        before = self._text(name, max(0, span[0] - 40), span[0])
        after = self._text(name, span[1], span[1] + 2)
        return not re.search(r'(<|alignas\(|case )\s*$', before) and not re.match(r'\s*>[^>=]', after)

    def _statements(self, children, name) -> None:
        """Dropped statements, and neighbours in the wrong order. A statement ends with its semicolon."""
        previous = None
        for child in children:
            span = self._statement(child, name)
            if span is None:
                previous = None
                continue
            self._add(child, name, 'dropped statement', f'{self._short(name, span)};  ->  nothing',
                      Wrap(*span, 'if (!::mutant::active<@>()) ', ''))
            if previous is not None and not self._text(name, previous[1][1] + 1, span[0]).strip():
                first, one = previous
                self._add(first, name, 'swapped order',
                          f'{self._short(name, one)};  <->  {self._short(name, span)};',
                          Wrap(one[0], span[1] + 1, 'for (int mm_k@ = 0; mm_k@ < 2; ++mm_k@) '
                               'if ((mm_k@ == 0) != ::mutant::active<@>()) { ', ' }'),
                          Wrap(span[0], span[0], '} else { ', ''))
                previous = None
            else:
                previous = (child, span)

    def _statement(self, cursor, name):
        span = (cursor.extent.start.offset, cursor.extent.end.offset)
        text = self._text(name, *span)
        if cursor.extent.start.file is None or self._relative(cursor) != name:
            return None
        if re.match(r'MM_TRY\(', self._text(name, span[0], span[0] + 8)):
            return self._macro_statement(name, span[0])
        if cursor.kind.name not in _STATEMENTS or self._range(cursor, name) is None:
            return None
        if text.startswith(('static_cast<void>', '(void)', 'co_', 'new ', 'delete ')):
            return None
        return span if self._text(name, span[1], span[1] + 1) == ';' else None

    def _macro_statement(self, name, begin):
        """MM_TRY(...): to its closing parenthesis."""
        depth, at, source = 0, begin, self.sources[name]
        while at < len(source):
            depth += {0x28: 1, 0x29: -1}.get(source[at], 0)
            at += 1
            if depth == 0 and source[at - 1] == 0x29:
                return (begin, at) if source[at:at + 1] == b';' else None
        return None
