//! Expands the directives of a template, which are listed at the top of [`super`].

use super::storage::{Access, Decoder, binding};

/// The files that `#use` knows.
const MODULES: [(&str, &str); 12] = [
    ("activation", include_str!("prelude/activation.wgsl")),
    ("each", include_str!("prelude/each.wgsl")),
    ("epilogue", include_str!("prelude/epilogue.wgsl")),
    ("half", include_str!("prelude/half.wgsl")),
    ("multiply_add", include_str!("prelude/multiply_add.wgsl")),
    ("reduce", include_str!("prelude/reduce.wgsl")),
    ("tile", include_str!("prelude/tile.wgsl")),
    ("tile_cooperative", include_str!("prelude/tile_cooperative.wgsl")),
    ("tile_load", include_str!("prelude/tile_load.wgsl")),
    ("tile_next", include_str!("prelude/tile_next.wgsl")),
    ("tile_place", include_str!("prelude/tile_place.wgsl")),
    ("vector", include_str!("prelude/vector.wgsl")),
];

/// Appends the WGSL of `source` to `out`. `words` are the constants for conditions.
pub(super) fn expand(source: &str, words: Vec<(String, String)>, decoder: Decoder, out: &mut String) {
    let lines: Vec<String> = source.lines().map(str::to_owned).collect();
    Expansion { words, decoder, next_binding: 1, decodes: false, out }.block(&lines);
}

struct Expansion<'a> {
    words: Vec<(String, String)>,
    decoder: Decoder,
    next_binding: usize,
    /// Whether the functions that decode 16-bit words were already added.
    decodes: bool,
    out: &'a mut String,
}

impl Expansion<'_> {
    fn block(&mut self, lines: &[String]) {
        let mut rest = lines;
        while let Some((line, after)) = rest.split_first() {
            rest = match self.directive(line, after) {
                Some(used) => &after[used..],
                None => {
                    self.out.push_str(line);
                    self.out.push('\n');
                    after
                }
            };
        }
    }

    /// Expands the directive on `line` and returns the number of further lines that it spans, or `None` if it is not a
    /// directive.
    fn directive(&mut self, line: &str, after: &[String]) -> Option<usize> {
        let (name, rest) = line.trim().strip_prefix('#')?.split_once(' ')?;
        match name {
            "if" => {
                let (middle, end) = block_end(after)?;
                let taken = if self.holds(rest) { &after[..middle] } else { &after[(middle + 1).min(end)..end] };
                self.block(taken);
                Some(end + 1)
            }
            "for" => {
                let (_, end) = block_end(after)?;
                let (variable, range) = rest.split_once(" in ")?;
                let values: Vec<String> = match range.split_once("..") {
                    Some((start, stop)) => {
                        (self.number(start)?..self.number(stop)?).map(|value| value.to_string()).collect()
                    }
                    None => range.split_whitespace().map(str::to_owned).collect(),
                };
                let mark = format!("${variable}");
                for value in values {
                    let lines: Vec<_> = after[..end].iter().map(|line| line.replace(&mark, &value)).collect();
                    self.block(&lines);
                }
                Some(end + 1)
            }
            "use" => {
                let (_, module) = MODULES.iter().find(|(name, _)| *name == rest.trim())?;
                let lines: Vec<String> = module.lines().map(str::to_owned).collect();
                self.block(&lines);
                Some(0)
            }
            "uniforms" => {
                self.out.push_str(&format!("struct Uniforms {{ {rest} }}\n"));
                self.out.push_str("@group(0) @binding(0) var<uniform> u: Uniforms;\n");
                Some(0)
            }
            "input" => self.binding(rest, Access::Read),
            "output" => self.binding(rest, Access::ReadWrite),
            _ => None,
        }
    }

    fn binding(&mut self, declaration: &str, access: Access) -> Option<usize> {
        let (name, rest) = declaration.split_once(": ")?;
        let (format, width) = rest.split_once(" by ")?;
        let format = self.word(format).to_owned();
        let binding = binding(name, &format, self.number(width)?, access, self.decoder, self.next_binding)?;
        if binding.decodes && !self.decodes {
            self.decodes = true;
            self.block(&["#use half".to_owned()]);
        }
        self.next_binding += 1;
        self.out.push_str(&binding.text);
        Some(0)
    }

    /// Whether the condition of an `#if` holds.
    fn holds(&self, condition: &str) -> bool {
        let condition = condition.trim();
        if let Some((name, word)) = condition.split_once(" == ") {
            return self.word(name) == word;
        }
        let (name, wanted) = condition.strip_prefix('!').map_or((condition, true), |name| (name, false));
        let value = self.words.iter().find(|(known, _)| known == name);
        value.is_some_and(|(_, value)| value != "false" && value != "0") == wanted
    }

    /// The value of the constant `name`, or `name` itself if there is none.
    fn word<'a>(&'a self, name: &'a str) -> &'a str {
        let name = name.trim();
        self.words.iter().find(|(known, _)| known == name).map_or(name, |(_, value)| value)
    }

    fn number(&self, text: &str) -> Option<usize> {
        self.word(text).parse().ok()
    }
}

/// The positions of `#else` (or the end, if there is none) and `#end` of the block in which `lines` begin.
fn block_end(lines: &[String]) -> Option<(usize, usize)> {
    let mut depth = 0;
    let mut middle = None;
    for (i, line) in lines.iter().enumerate() {
        let line = line.trim();
        match line {
            "#end" if depth == 0 => return Some((middle.unwrap_or(i), i)),
            "#end" => depth -= 1,
            "#else" if depth == 0 => middle = Some(i),
            _ if line.starts_with("#if ") || line.starts_with("#for ") => depth += 1,
            _ => {}
        }
    }
    None
}
