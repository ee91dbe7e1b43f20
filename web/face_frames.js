// The faces found in a picture, as frames with their numbers; all in pixels of the file.
const CHOSEN = "#50ff78"; // as in the node's picture of the face
const OTHERS = "#ffffff";
const OUTLINE = "#000000a0"; // readable on any skin
const REACH = 0.75; // sides of a face from its middle to a point on it, as where the run looks for it
const RING = 9; // pixels on the page
const LABEL = 14;

export const middleOf = ([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];

/** The place among the faces of the one that a point is of, or -1. */
export function faceAt(faces, [x, y]) {
  let best = -1, least = REACH;
  faces.forEach((face, place) => {
    const [mx, my] = middleOf(face);
    const away = Math.hypot(x - mx, y - my) / Math.max(face[2] - face[0], face[3] - face[1], 1);
    if (away <= least) [best, least] = [place, away];
  });
  return best;
}

export function readPoint(text) {
  const numbers = String(text ?? "").split(/[,;\s]+/).filter(Boolean).map(Number);
  return numbers.length === 2 && numbers.every(Number.isFinite) ? numbers : null;
}

function strokeTwice(pen, color, width, path) {
  for (const [style, extra] of [[OUTLINE, 2], [color, 0]]) {
    Object.assign(pen, { strokeStyle: style, lineWidth: width + extra });
    pen.beginPath();
    path();
    pen.stroke();
  }
}

function drawFace(pen, { left, top, scale }, face, number, isChosen) {
  const [x, y] = [left + face[0] * scale, top + face[1] * scale];
  const [width, height] = [(face[2] - face[0]) * scale, (face[3] - face[1]) * scale];
  strokeTwice(pen, isChosen ? CHOSEN : OTHERS, isChosen ? 2.5 : 1, () => pen.rect(x, y, width, height));
  pen.font = `bold ${LABEL - 2}px sans-serif`;
  const wide = pen.measureText(number).width + 8;
  pen.fillStyle = isChosen ? CHOSEN : OTHERS;
  pen.fillRect(x, y, wide, LABEL);
  pen.fillStyle = "#000000";
  pen.fillText(number, x + 4, y + LABEL - 3);
}

/**
 * Draw the frames where there is a choice. place: the picture's on the canvas. point: where the user
 * clicked, or null; then the face of that index is the chosen one.
 */
export function drawFaces(pen, place, faces, point, index) {
  const chosen = point ? faceAt(faces, point) : index;
  if (faces.length > 1 || point) {
    faces.forEach((face, number) => drawFace(pen, place, face, String(number), number === chosen));
  }
  if (!point || chosen >= 0) return;
  const [x, y] = [place.left + point[0] * place.scale, place.top + point[1] * place.scale];
  strokeTwice(pen, CHOSEN, 2, () => pen.arc(x, y, RING, 0, 2 * Math.PI));
}
