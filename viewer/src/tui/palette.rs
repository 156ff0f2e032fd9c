//! The only place where colours are chosen.

use std::cmp::Ordering;

use ratatui::style::{Color, Modifier, Style};

use crate::tables::Part;

/// What the terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colours {
    /// None: `NO_COLOR` (no-color.org), or a terminal without.
    None,
    /// The sixteen that the user has chosen for the terminal.
    #[default]
    Sixteen,
    /// All.
    True,
}

impl Colours {
    /// What the environment says of the terminal: `NO_COLOR`, `COLORTERM` and `TERM`.
    pub fn of_environment(get: impl Fn(&str) -> Option<String>) -> Colours {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        if set("NO_COLOR").is_some() || set("TERM").is_none_or(|term| term == "dumb") {
            return Colours::None;
        }
        match set("COLORTERM").as_deref() {
            Some("truecolor" | "24bit") => Colours::True,
            _ => Colours::Sixteen,
        }
    }
}

/// Styles by what they stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Palette {
    pub(crate) colours: Colours,
}

impl Palette {
    fn of(self, sixteen: Color, (red, green, blue): (u8, u8, u8)) -> Color {
        match self.colours {
            Colours::None => Color::Reset,
            Colours::Sixteen => sixteen,
            Colours::True => Color::Rgb(red, green, blue),
        }
    }

    fn colour(self, part: Part) -> Color {
        match part {
            Part::Go => self.of(Color::Green, (0x6c, 0xb8, 0x6a)),
            Part::Border => self.of(Color::Yellow, (0xe6, 0xa2, 0x3c)),
            Part::C => self.of(Color::Red, (0xe0, 0x62, 0x52)),
            Part::Blocked => self.of(Color::Magenta, (0xb0, 0x7c, 0xd8)),
            Part::Waiting => self.of(Color::LightYellow, (0xf2, 0xd0, 0x5c)),
            Part::Idle => self.of(Color::DarkGray, (0x60, 0x68, 0x70)),
            Part::Locked => self.of(Color::Cyan, (0x56, 0xb6, 0xc2)),
        }
    }

    /// Text about a part.
    pub(crate) fn part(self, part: Part) -> Style {
        Style::new().fg(self.colour(part))
    }

    /// A box that stands for a part, with text on it.
    pub(crate) fn filled(self, part: Part) -> Style {
        match self.colours {
            Colours::None => Style::new(),
            _ => Style::new().fg(self.of(Color::Black, (0x14, 0x16, 0x18))).bg(self.colour(part)),
        }
    }

    /// How hot a share of everything is, as text.
    pub(crate) fn heat(self, share: f64) -> Style {
        match share {
            hot if hot >= 0.5 => self.part(Part::C).add_modifier(Modifier::BOLD),
            warm if warm >= 0.1 => self.part(Part::C),
            mild if mild >= 0.02 => self.part(Part::Border),
            _ => self.faint(),
        }
    }

    /// The bars above and below.
    pub(crate) fn bar(self) -> Style {
        match self.colours {
            Colours::None => Style::new().add_modifier(Modifier::REVERSED),
            _ => {
                Style::new().fg(self.of(Color::White, (0xd6, 0xda, 0xe0))).bg(self.of(Color::Blue, (0x2a, 0x36, 0x4a)))
            }
        }
    }

    /// What is chosen in a bar.
    pub(crate) fn chosen(self) -> Style {
        match self.colours {
            Colours::None => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            _ => self.filled(Part::Border).add_modifier(Modifier::BOLD),
        }
    }

    /// The line that keys act on.
    pub(crate) fn selected(self) -> Style {
        match self.colours {
            Colours::True => Style::new().bg(Color::Rgb(0x33, 0x40, 0x58)).add_modifier(Modifier::BOLD),
            _ => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// Heads of columns and sections.
    pub(crate) fn head(self) -> Style {
        Style::new().fg(self.of(Color::Cyan, (0x7f, 0xb4, 0xe0))).add_modifier(Modifier::BOLD)
    }

    /// What is beside the point.
    pub(crate) fn faint(self) -> Style {
        match self.colours {
            Colours::None => Style::new().add_modifier(Modifier::DIM),
            _ => Style::new().fg(self.of(Color::DarkGray, (0x88, 0x90, 0x9a))),
        }
    }

    /// What was searched for.
    pub(crate) fn matched(self) -> Style {
        match self.colours {
            Colours::None => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            _ => self.filled(Part::Blocked),
        }
    }

    /// Something is wrong, or worse than before.
    pub(crate) fn bad(self) -> Style {
        self.part(Part::C).add_modifier(Modifier::BOLD)
    }

    /// Better than before.
    pub(crate) fn good(self) -> Style {
        self.part(Part::Go).add_modifier(Modifier::BOLD)
    }

    /// More or less than before, or neither.
    pub(crate) fn changed(self, direction: Ordering) -> Style {
        match direction {
            Ordering::Greater => self.bad(),
            Ordering::Less => self.good(),
            Ordering::Equal => self.faint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_colours_there_are() {
        let check = |set: &[(&str, &str)], expected| {
            let get = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(Colours::of_environment(get), expected, "{set:?}");
        };
        check(&[("TERM", "xterm")], Colours::Sixteen);
        check(&[("TERM", "xterm"), ("COLORTERM", "truecolor")], Colours::True);
        check(&[("TERM", "xterm"), ("COLORTERM", "24bit"), ("NO_COLOR", "1")], Colours::None);
        check(&[("TERM", "xterm"), ("NO_COLOR", "")], Colours::Sixteen);
        check(&[("TERM", "dumb")], Colours::None);
        check(&[], Colours::None);
    }
}
