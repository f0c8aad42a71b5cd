"""Write masks in the formats of annotation tools: COCO, YOLO and CVAT."""
