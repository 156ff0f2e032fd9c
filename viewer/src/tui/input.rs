//! From keys and the mouse to what they ask for.

use std::sync::Arc;

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Size};

use super::app::App;
use super::keys::{self, Action, Move};
use super::layout::areas::{ABOVE_LANES, Areas, BELOW, LANE_NAME, tabs};
use super::layout::columns::columns;
use super::screen::Screen;
use super::state::outbox::Leaving;
use super::state::prompt::Typed;

/// Columns that a mouse moves at least when it is meant to.
const LEAST_DRAG: u16 = 2;
/// Rows that one turn of the wheel is.
const WHEEL: usize = 3;

impl App {
    /// Does what an event of the terminal asks for. Returns whether anything may look different now.
    pub fn handle(&mut self, event: &Event) -> bool {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key),
            Event::Mouse(mouse) => return self.mouse(*mouse),
            &Event::Resize(width, height) => self.resize(Size { width, height }),
            Event::Paste(text) if self.overlay.prompt.is_some() => {
                text.chars().filter(|c| !c.is_control()).for_each(|c| self.type_in(Typed::Letter(c)));
            }
            _ => return false,
        }
        true
    }

    fn key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            self.background.forget_file();
            self.outbox.leaving = Leaving::Now;
        } else if self.overlay.prompt.is_some() {
            let typed = match key.code {
                KeyCode::Char('u') if control => Typed::Clear,
                KeyCode::Char(letter) if !control => Typed::Letter(letter),
                KeyCode::Backspace => Typed::Erase,
                KeyCode::Enter | KeyCode::Up | KeyCode::Down => Typed::Enter,
                KeyCode::Esc => Typed::GiveUp,
                _ => return,
            };
            self.type_in(typed);
        } else if !control && let Some(action) = keys::action(key.code, self.screen, self.live.is_some()) {
            self.act(action);
        }
    }

    fn mouse(&mut self, mouse: MouseEvent) -> bool {
        let areas = Areas::of(self.size);
        let at = Position { x: mouse.column, y: mouse.row };
        if self.overlay.prompt.is_some() {
            // What has been typed is kept.
            if !matches!(mouse.kind, MouseEventKind::Down(_)) {
                return false;
            }
            self.overlay.prompt = None;
        }
        let turn = |app: &mut App, how| (0..WHEEL).for_each(|_| app.act(Action::Go(how)));
        let zooms = self.screen == Screen::Timeline && self.overlay.help.is_none();
        match mouse.kind {
            MouseEventKind::ScrollDown if zooms => self.act(Action::Zoom(-1)),
            MouseEventKind::ScrollUp if zooms => self.act(Action::Zoom(1)),
            MouseEventKind::ScrollDown => turn(self, Move::Down),
            MouseEventKind::ScrollUp => turn(self, Move::Up),
            MouseEventKind::Down(MouseButton::Left) if self.overlay.help.is_some() => self.act(Action::Help),
            MouseEventKind::Down(MouseButton::Left) if areas.tabs.contains(at) => {
                let tab = tabs(self.size.width).into_iter().find(|&(_, x, width)| (x..x + width).contains(&at.x));
                if let Some((screen, ..)) = tab {
                    self.act(Action::Show(screen));
                }
            }
            MouseEventKind::Down(MouseButton::Left) if areas.body.contains(at) => self.click(at, areas),
            MouseEventKind::Drag(MouseButton::Left) if self.screen == Screen::Timeline => return self.drag(at.x),
            MouseEventKind::Up(MouseButton::Left) => {
                self.timeline.pressed = None;
                if std::mem::take(&mut self.timeline.dragging)
                    && self.screen == Screen::Timeline
                    && self.timeline.mark.is_some()
                {
                    self.put_cursor(at.x);
                    self.act(Action::Mark);
                }
            }
            _ => return false,
        }
        true
    }

    fn click(&mut self, at: Position, areas: Areas) {
        let row = usize::from(at.y - areas.body.y);
        if let Some(kind) = self.kind() {
            // Above the tables of threads stands which of them it is.
            let head = usize::from(self.screen == Screen::Threads);
            let width = areas.body.width;
            let open = self.on(kind, |table, sheet| {
                let Some(line) = row.checked_sub(head) else { return false };
                let Some(line) = line.checked_sub(1) else {
                    let placed = columns(sheet, table.sort, width);
                    let clicked = placed.iter().find(|one| (one.x..=one.x + one.width).contains(&at.x));
                    if let Some(placed) = clicked {
                        table.sort_by(placed.column, sheet);
                    }
                    return false;
                };
                let clicked = table.scroll.first + line;
                let again = clicked == table.scroll.selected;
                if line < table.scroll.page && clicked < table.order.len() {
                    table.scroll.selected = clicked;
                }
                again
            });
            // A second click opens.
            if open {
                self.act(Action::Open);
            }
            return;
        }
        let data = Arc::clone(&self.shown);
        match self.screen {
            Screen::Tree => {
                let clicked = self.tree.scroll.first + row.saturating_sub(1);
                if row > 0 && clicked < self.tree.rows.len() {
                    self.tree.scroll.selected = clicked;
                    self.act(Action::Open);
                }
            }
            Screen::Flame => {
                let tree = data.tree(self.flame.direction);
                let tiles = self.flame.tiles(tree, areas.body.width);
                let hit = |tile: &&super::state::flame::Tile| {
                    tile.row == row + self.flame.first && (tile.column..tile.column + tile.width).contains(&at.x)
                };
                if row < usize::from(areas.body.height.saturating_sub(BELOW))
                    && let Some(node) = tiles.iter().find(hit).map(|tile| tile.node)
                {
                    let again = node == self.flame.selected(tree);
                    self.flame.select(node, tree);
                    if again {
                        self.act(Action::Open);
                    }
                }
            }
            Screen::Timeline => {
                let lane = row.checked_sub(usize::from(ABOVE_LANES)).map(|lane| lane + self.timeline.scroll.first);
                if let Some(lane) = lane.filter(|&lane| lane < data.lanes().lanes.len()) {
                    self.timeline.scroll.selected = lane;
                }
                self.timeline.pressed = Some(at.x);
                self.put_cursor(at.x);
            }
            _ => {}
        }
    }

    /// Marks a span from where the button was pressed on, if the mouse has moved away from there.
    fn drag(&mut self, x: u16) -> bool {
        let Some(from) = self.timeline.pressed else { return false };
        if !self.timeline.dragging {
            if x.abs_diff(from) < LEAST_DRAG {
                return false;
            }
            self.timeline.mark = None;
            self.timeline.dragging = true;
            self.put_cursor(from);
            self.act(Action::Mark);
        }
        self.put_cursor(x);
        true
    }

    fn put_cursor(&mut self, x: u16) {
        if let Some(column) = x.checked_sub(LANE_NAME) {
            let lanes = Arc::clone(self.shown.lanes());
            let at = self.timeline.time_of(column, &lanes).start;
            self.timeline.move_to(at, &lanes);
        }
    }
}
