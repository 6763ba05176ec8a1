//! Masks as polygons: outlines along the edges of pixels by marching squares (crate `contour`), simplified with the algorithm
//! of Ramer, Douglas and Peucker.

use super::Bitmap;
use crate::{Error, Result};
use contour::ContourBuilder;

/// A closed line of points `[x, y]` in pixels of the picture, each named once: the pixel in the top left corner lies between
/// 0 and 1 in both directions.
pub type Ring = Vec<[f64; 2]>;

/// A connected part of a mask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Polygon {
    /// The outer ring.
    pub outer: Ring,
    /// The holes in it.
    pub holes: Vec<Ring>,
}

impl Polygon {
    /// The outer ring, then the holes.
    pub fn rings(&self) -> impl Iterator<Item = &Ring> {
        std::iter::once(&self.outer).chain(&self.holes)
    }

    /// The area inside the outer ring and outside the holes, in square pixels.
    pub fn area(&self) -> f64 {
        area(&self.outer) - self.holes.iter().map(area).sum::<f64>()
    }

    /// Whether a point lies inside and in no hole.
    pub fn contains(&self, point: [f64; 2]) -> bool {
        encloses(&self.outer, point) && !self.holes.iter().any(|hole| encloses(hole, point))
    }
}

/// The polygons of all connected parts, largest first.
pub(super) fn trace(bitmap: &Bitmap, tolerance: f64) -> Result<Vec<Polygon>> {
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(Error::invalid("tolerance", format!("{tolerance} pixels, expected a number of at least 0")));
    }
    let Some(bounds) = bitmap.bounds() else { return Ok(Vec::new()) };
    let width = bounds.right + 1 - bounds.left;
    let height = bounds.bottom + 1 - bounds.top;
    let lines = bitmap.pixels().chunks_exact(bitmap.width()).skip(bounds.top).take(height);
    let levels: Vec<f64> =
        lines.flat_map(|line| line[bounds.left..=bounds.right].iter().map(|x| f64::from(*x))).collect();
    let builder = ContourBuilder::new(width, height, false).x_origin(bounds.left as f64).y_origin(bounds.top as f64);
    let contours = builder.contours(&levels, &[0.5]).map_err(|error| Error::invalid("mask", error.to_string()))?;
    let mut polygons = Vec::new();
    for polygon in contours.into_iter().flat_map(|contour| contour.into_inner().0) {
        let (outer, holes) = polygon.into_inner();
        // A part that is thinner than the tolerance is left out, and so is a hole.
        let outer = outer.into_iter().map(|point| [point.x, point.y]).collect();
        let Some(outer) = simplified(outer, tolerance) else { continue };
        let holes = holes.into_iter().map(|hole| hole.into_iter().map(|point| [point.x, point.y]).collect());
        polygons.push(Polygon { outer, holes: holes.filter_map(|hole| simplified(hole, tolerance)).collect() });
    }
    polygons.sort_by(|a, b| b.area().total_cmp(&a.area()));
    Ok(polygons)
}

/// The area inside a ring, by the shoelace formula.
fn area(ring: &Ring) -> f64 {
    let next = ring.iter().cycle().skip(1);
    let sum: f64 = ring.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
    sum.abs() / 2.0
}

/// Whether a line from the point to the right crosses the ring an odd number of times.
fn encloses(ring: &Ring, [x, y]: [f64; 2]) -> bool {
    let next = ring.iter().cycle().skip(1);
    let crosses = |(a, b): &(&[f64; 2], &[f64; 2])| {
        (a[1] > y) != (b[1] > y) && x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0]
    };
    ring.iter().zip(next).filter(crosses).count() % 2 == 1
}

/// The ring, whose first point may be repeated at the end, with as few points as stay within the tolerance of it. `None` if
/// fewer than three are left.
fn simplified(mut ring: Ring, tolerance: f64) -> Option<Ring> {
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    // A ring has no ends: it is cut at its first point and at the one that is farthest from it.
    let first = *ring.first()?;
    let far = |point: &[f64; 2]| (point[0] - first[0]).powi(2) + (point[1] - first[1]).powi(2);
    let middle = (0..ring.len()).max_by(|a, b| far(&ring[*a]).total_cmp(&far(&ring[*b])))?;
    ring.push(first);
    let mut keep = vec![false; ring.len()];
    keep[0] = true;
    keep[middle] = true;
    let mut open = vec![(0, middle), (middle, ring.len() - 1)];
    while let Some((from, to)) = open.pop() {
        let off = |at: usize| distance(ring[at], ring[from], ring[to]);
        let farthest = (from + 1..to).max_by(|a, b| off(*a).total_cmp(&off(*b)));
        if let Some(at) = farthest.filter(|at| off(*at) > tolerance) {
            keep[at] = true;
            open.extend([(from, at), (at, to)]);
        }
    }
    ring.pop();
    let kept: Ring = ring.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| point).collect();
    (kept.len() >= 3).then_some(kept)
}

/// The distance of a point from the line between two others.
fn distance([x, y]: [f64; 2], a: [f64; 2], b: [f64; 2]) -> f64 {
    let [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    let length = dx.hypot(dy);
    if length == 0.0 {
        return (x - a[0]).hypot(y - a[1]);
    }
    let along = (((x - a[0]) * dx + (y - a[1]) * dy) / (length * length)).clamp(0.0, 1.0);
    (x - a[0] - along * dx).hypot(y - a[1] - along * dy)
}

#[cfg(test)]
mod tests {
    use super::super::bitmap::drawn;

    #[test]
    fn outer_rings_have_their_holes() {
        let mask = drawn(&["........#.", ".######...", ".#....#...", ".#.##.#...", ".#....#...", ".######..."]);
        let polygons = mask.polygons(0.0).unwrap();
        let holes: Vec<usize> = polygons.iter().map(|polygon| polygon.holes.len()).collect();
        assert_eq!(holes, [1, 0, 0]);
        assert!(
            polygons[0].contains([1.5, 1.5]) && !polygons[0].contains([2.5, 2.5]) && !polygons[0].contains([0.5, 0.5])
        );
        assert!(polygons[1].contains([4.0, 3.5]));
        // Corners are cut by an eighth of a pixel each: 4 outside, 4 in the hole.
        assert!((polygons[0].area() - 18.0).abs() <= 1.0, "{}", polygons[0].area());
    }

    #[test]
    fn every_pixel_lies_in_a_polygon() {
        let mask = drawn(&["##.#", "#..#", "...#", "#.##"]);
        let polygons = mask.polygons(0.0).unwrap();
        for (i, inside) in mask.pixels().iter().enumerate() {
            let middle = [(i % 4) as f64 + 0.5, (i / 4) as f64 + 0.5];
            assert_eq!(polygons.iter().any(|polygon| polygon.contains(middle)), *inside, "{middle:?}");
        }
    }

    #[test]
    fn a_tolerance_leaves_corners_only() {
        let line = "#".repeat(50);
        let square = drawn(&[line.as_str(); 40]);
        let exact = &square.polygons(0.0).unwrap()[0];
        let simple = &square.polygons(1.0).unwrap()[0];
        assert!(exact.outer.len() >= 8 && simple.outer.len() <= 8, "{} {}", exact.outer.len(), simple.outer.len());
        assert!((simple.area() - 2000.0).abs() < 100.0, "{}", simple.area());
    }

    #[test]
    fn nothing_has_no_polygon_and_tolerances_are_numbers() {
        assert!(drawn(&["..", ".."]).polygons(1.0).unwrap().is_empty());
        assert!(drawn(&["#."]).polygons(f64::NAN).is_err() && drawn(&["#."]).polygons(-1.0).is_err());
        assert!(drawn(&["#."]).polygons(2.0).unwrap().is_empty());
    }
}
